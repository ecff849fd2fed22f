-- Put the digest of its text into a message's outcome, unless that has changed meanwhile.
-- KEYS: messages. ARGV: message, outcome as it was read, outcome with the digest
-- Answers: OK | STALE
local field = ARGV[1] .. ':end'
if redis.call('HGET', KEYS[1], field) ~= ARGV[2] then
  return {'STALE'}
end
redis.call('HSET', KEYS[1], field, ARGV[3])
return {'OK'}
