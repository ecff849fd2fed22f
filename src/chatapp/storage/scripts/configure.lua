-- Change fields of a chat that is there: it is never made anew by this.
-- ARGV: owner, then pairs: field, value
-- Answers: OK | GONE
local known = redis.call('HMGET', chat, 'owner', 'deleted_at')
if known[1] ~= ARGV[1] or known[2] then
  return {'GONE'}
end
redis.call('HSET', chat, unpack(ARGV, 2))
return {'OK'}
