-- Note that what follows an answer's end has been done, unless the answer goes on again by now.
-- KEYS: generation. ARGV: fence of the end
-- Answers: OK | STALE
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then
  return {'STALE'}
end
redis.call('HSET', KEYS[1], 'told', ARGV[1])
return {'OK'}
