-- Take the lease of a generation that waits, or whose owner let its lease run out.
-- ARGV: message, nonce of the new owner, lease ms, attempts without progress, outcome if those are used up,
--       seconds to keep an ended log
-- Answers: OK fence seq | HELD ms left | CLOSED state | GONE
local message, nonce, lease, attempts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local g = redis.call('HMGET', generation, 'message', 'state', 'lease', 'fence', 'seq', 'tries', 'progress',
  'owner')
if g[1] ~= message then
  return {'GONE'}
end
if not active(g[2]) then
  return {'CLOSED', g[2]}
end
local now = now_ms()
local left = tonumber(g[3]) - now
if g[2] == 'running' and g[8] == nonce then
  -- The same claim again: its reply got lost on the way.
  return {'OK', g[4], g[5]}
end
if g[2] == 'running' and left > 0 then
  return {'HELD', left}
end

local fence, seq = next_fence(g[4]), tonumber(g[5]) + 1
-- Only attempts that added nothing count: an answer that moves on may be taken over for ever.
local tries = tonumber(g[6])
if tonumber(g[5]) > tonumber(g[7]) then
  tries = 0
end
if tries >= attempts then
  if not finish(message, tonumber(g[4]), fence, seq, ARGV[5], 'interrupted', logged_text(),
    ARGV[6]) then
    return lost(message)
  end
  return {'CLOSED', 'interrupted'}
end

if not redis.call('XADD', log, 'NOMKSTREAM', int(fence) .. '-' .. int(seq), 't', 'c', 'd', '') then
  return lost(message)
end
redis.call('HSET', generation, 'state', 'running', 'owner', nonce, 'lease', int(now + lease),
  'fence', int(fence), 'seq', int(seq), 'tries', tries + 1, 'progress', int(seq))
return {'OK', int(fence), int(seq)}
