-- Take a chat's public link back.
-- KEYS: chat. ARGV: owner
-- Answers: OK token (nil: there was none) | GONE
local known = redis.call('HMGET', KEYS[1], 'owner', 'deleted_at', 'share')
if known[1] ~= ARGV[1] or known[2] then
  return {'GONE'}
end
redis.call('HDEL', KEYS[1], 'share')
return {'OK', known[3]}
