-- Take back a deletion; safe to repeat.
-- ARGV: owner, ms after a deletion in which it can be taken back
-- Answers: OK (also where nothing is deleted) | GONE (no such chat, or too late)
local known = redis.call('HMGET', chat, 'owner', 'deleted_at')
if known[1] ~= ARGV[1] then
  return {'GONE'}
end
if known[2] then
  if now_ms() - tonumber(known[2]) > tonumber(ARGV[2]) then
    return {'GONE'}
  end
  redis.call('HDEL', chat, 'deleted_at')
  redis.call('HDEL', messages, ':deleted')
end
return {'OK'}
