-- Give the lease back, so that another worker may go on at once.
-- ARGV: message, fence, nonce, '1' when the attempt counts: a deploy uses up nothing
-- Answers: OK | FENCED
local g = redis.call('HMGET', generation, 'message', 'fence', 'owner', 'state')
if g[1] ~= ARGV[1] or g[2] ~= ARGV[2] or g[3] ~= ARGV[3] or g[4] ~= 'running' then
  return {'FENCED'}
end
redis.call('HSET', generation, 'state', 'queued', 'owner', '', 'lease', 0)
if ARGV[4] ~= '1' then
  local used = redis.call('HMGET', generation, 'tries', 'calls')
  redis.call('HSET', generation, 'tries', math.max(0, used[1] - 1), 'calls', math.max(0, used[2] - 1))
end
return {'OK'}
