-- Give a chat a public link, or find the one that it has.
-- KEYS: chat. ARGV: owner, token for a new link
-- Answers: OK token head | GONE
local known = redis.call('HMGET', KEYS[1], 'owner', 'deleted_at', 'share', 'head')
if known[1] ~= ARGV[1] or known[2] then
  return {'GONE'}
end
local token = known[3] or ARGV[2]
redis.call('HSET', KEYS[1], 'share', token)
return {'OK', token, known[4]}
