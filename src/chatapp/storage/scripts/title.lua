-- Give a chat the title that a model found, unless a person or a model has given it one.
-- KEYS: chat. ARGV: owner, title
-- Answers: OK | KEPT | GONE
local known = redis.call('HMGET', KEYS[1], 'owner', 'titled', 'deleted_at')
if known[1] ~= ARGV[1] or known[3] then
  return {'GONE'}
end
if known[2] and known[2] ~= '' then
  return {'KEPT'}
end
redis.call('HSET', KEYS[1], 'title', ARGV[2], 'titled', 'auto')
return {'OK'}
