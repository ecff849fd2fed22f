-- Let an ended answer go on under the same id: a new log that begins with the text so far, a generation that waits.
-- ARGV: owner, request, fingerprint, attempt (tells a repetition of this call from a later one with the same
--       request), message, its outcome as it was read, now (ISO 8601)
-- Answers: OK id | DUP message attempt (same request again) | MISMATCH | BUSY message
--        | STALE (the outcome is another now) | GONE
local owner, request, fingerprint, attempt = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local message, outcome, now = ARGV[5], ARGV[6], ARGV[7]

local refused, _, before = refusal(owner, request, fingerprint, false)
if refused then
  return refused
end
local saved = redis.call('HMGET', messages, message .. ':end', message .. ':text', message .. ':reasoning',
  message .. ':times')
if saved[1] ~= outcome then
  return {'STALE'}
end

local fence, seq = int(next_fence(before)), 0
redis.call('UNLINK', log)
local id = redis.call('XADD', log, fence .. '-0', 't', 'o', 'd', '')
local function add(kind, data)
  seq = seq + 1
  redis.call('XADD', log, fence .. '-' .. int(seq), 't', kind, 'd', data)
end
if saved[3] then
  add('r', saved[3])
end
-- As the worker cuts it: entries of 64 KB at most, between characters.
local text, from = saved[2] or '', 1
while from <= #text do
  local to = math.min(#text, from + 65535)
  while to < #text and string.byte(text, to + 1) >= 128 and string.byte(text, to + 1) < 192 do
    to = to - 1
  end
  add('d', string.sub(text, from, to))
  from = to + 1
end
redis.call('HDEL', messages, message .. ':end', message .. ':last', message .. ':reasoning')
-- The time it has taken so far counts.
local began, ended = string.match(saved[4] or '', '^(%d+) (%d+)$')
redis.call('HSET', messages, message .. ':times', int(now_ms() - (began and ended - began or 0)))
redis.call('HSET', chat, 'updated_at', now)
redis.call('HSET', requests, request, fingerprint .. ' ' .. message .. ' ' .. attempt)
redis.call('HSET', generation, 'state', 'queued', 'message', message, 'fence', fence, 'seq', int(seq),
  'owner', '', 'lease', 0, 'tries', 0, 'calls', 0, 'progress', #text, 'bytes', #text, 'up', '', 'asked', 1)
return {'OK', id}
