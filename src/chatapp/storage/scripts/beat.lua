-- Renew the lease without adding text, and learn whether it is still ours.
-- ARGV: message, fence, nonce, last seq the caller knows to be written, lease ms, and before the first text the
-- place in the provider's own stream, where it offers one
-- Answers: OK | GAP seq | FENCED | CLOSED state | GONE
local g = redis.call('HMGET', generation, 'message', 'fence', 'owner', 'state', 'seq')
if g[1] ~= ARGV[1] then
  return {'GONE'}
end
if not active(g[4]) then
  return {'CLOSED', g[4]}
end
if g[2] ~= ARGV[2] or g[3] ~= ARGV[3] then
  return {'FENCED'}
end
redis.call('HSET', generation, 'lease', int(now_ms() + tonumber(ARGV[5])))
if ARGV[6] then
  redis.call('HSET', generation, 'up', ARGV[6])
end
if tonumber(g[5]) < tonumber(ARGV[4]) then
  return {'GAP', tonumber(g[5]) + 1}
end
if redis.call('EXISTS', log) == 0 then
  return {'GONE'}
end
return {'OK'}
