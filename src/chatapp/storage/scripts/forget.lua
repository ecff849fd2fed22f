-- Give a chat's place in the signatures to another.
-- KEYS: slots, signatures. ARGV: chat, bytes of a signature
-- Answers: OK
local slot = redis.call('HGET', KEYS[1], ARGV[1])
if slot then
  redis.call('SETRANGE', KEYS[2], string.format('%.0f', slot * ARGV[2]), string.rep('\0', ARGV[2]))
  redis.call('HDEL', KEYS[1], ARGV[1], slot)
  redis.call('HSET', KEYS[1], 'free', slot .. ' ' .. (redis.call('HGET', KEYS[1], 'free') or ''))
end
return {'OK'}
