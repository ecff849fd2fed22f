-- Show a version of a message: the chat's head becomes its newest descendant.
-- ARGV: owner, message
-- Answers: OK head | BUSY message | GONE
local known = redis.call('HMGET', chat, 'owner', 'head', 'deleted_at')
if known[1] ~= ARGV[1] or known[3] or not redis.call('HGET', messages, ARGV[2]) then
  return {'GONE'}
end
local current = redis.call('HMGET', generation, 'state', 'message')
if active(current[1]) then
  return {'BUSY', current[2]}
end
keep_branch(known[2])
local head = ARGV[2]
while true do
  local newest = string.match(redis.call('HGET', messages, head .. ':children') or '', '%x+$')
  if not newest then
    break
  end
  head = newest
end
redis.call('HSET', chat, 'head', head)
return {'OK', head}
