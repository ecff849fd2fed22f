-- Mark a chat as deleted, and end its running answer; safe to repeat. Its keys are removed later: see `purge`.
-- ARGV: owner, message of the generation as it was read, outcome, seconds to keep the log
-- Answers: OK | RUNNING message (another answer runs) | GONE
local known = redis.call('HMGET', chat, 'owner', 'deleted_at')
if known[1] ~= ARGV[1] then
  return {'GONE'}
end
if known[2] then
  return {'OK'}
end
local g = redis.call('HMGET', generation, 'message', 'state', 'fence', 'seq')
if active(g[2]) then
  if g[1] ~= ARGV[2] then
    return {'RUNNING', g[1]}
  end
  local text, reasoning = logged_text()
  if not finish(g[1], tonumber(g[3]), next_fence(g[3]), tonumber(g[4]) + 1, ARGV[3], 'stopped', text, ARGV[4],
    reasoning) then
    lost(g[1])
  end
end
redis.call('HSET', chat, 'deleted_at', int(now_ms()))
-- Who reads messages alone sees it, too.
redis.call('HSET', messages, ':deleted', '1')
return {'OK'}
