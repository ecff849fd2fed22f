-- Note when somebody must look at a generation again. Without the prelude: it runs four times for every answer.
-- KEYS: generations:due. ARGV: work, milliseconds from now, 'XX' to leave alone what is not listed (or '')
-- Answers: OK score (for `unlist`) | OK (not listed)
if ARGV[3] == 'XX' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return {'OK'}
end
local time = redis.call('TIME')
local score = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2])
redis.call('ZADD', KEYS[1], score, ARGV[1])
return {'OK', score}
