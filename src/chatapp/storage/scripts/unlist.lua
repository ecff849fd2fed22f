-- Take work off the list, unless it was listed again since: that listing is somebody else's.
-- KEYS: generations:due. ARGV: work, score of the listing as `schedule` answered it
-- Answers: OK | STALE
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then
  return {'STALE'}
end
redis.call('ZREM', KEYS[1], ARGV[1])
return {'OK'}
