-- Add the next entry to the log, if the caller still holds the lease; safe to repeat.
-- Without the prelude and with as few calls as can be: this runs for every few tokens.
-- KEYS: generation, log. ARGV: nonce of the owner, seq, type, data, and where the provider offers one, the
-- place in its own stream up to which the log has its text then
-- Answers: OK | DUP (already there: success) | GAP seq (Redis lost a tail: send again from here)
--        | FENCED (another owner) | CLOSED (ended) | GONE (log or generation is no more)
local g = redis.call('HMGET', KEYS[1], 'owner', 'seq', 'fence', 'bytes')
if g[1] ~= ARGV[1] then
  if not g[1] then
    return {'GONE'}
  end
  -- Who ends a generation, or gives it back, leaves it without an owner.
  return {g[1] == '' and 'CLOSED' or 'FENCED'}
end
local seq, last = tonumber(ARGV[2]), tonumber(g[2])
if seq <= last then
  return {'DUP'}
end
if seq > last + 1 then
  return {'GAP', last + 1}
end
if not redis.call('XADD', KEYS[2], 'NOMKSTREAM', g[3] .. '-' .. ARGV[2], 't', ARGV[3], 'd', ARGV[4]) then
  return {'GONE'}
end
-- Reasoning ('r') is no part of the text.
local bytes = ARGV[3] == 'x' and 0 or ARGV[3] == 'r' and g[4] or g[4] + #ARGV[4]
if ARGV[5] then
  redis.call('HSET', KEYS[1], 'seq', ARGV[2], 'bytes', bytes, 'up', ARGV[5])
else
  redis.call('HSET', KEYS[1], 'seq', ARGV[2], 'bytes', bytes)
end
return {'OK'}
