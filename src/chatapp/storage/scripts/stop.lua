-- End a generation by its owner's wish, whoever runs it; the old worker finds itself closed.
-- ARGV: owner, message, outcome, seconds to keep the log
-- Answers: OK id | CLOSED state | GONE
if redis.call('HGET', chat, 'owner') ~= ARGV[1] then
  return {'GONE'}
end
local g = redis.call('HMGET', generation, 'message', 'state', 'fence', 'seq')
if g[1] ~= ARGV[2] then
  return {'CLOSED', ''}
end
if not active(g[2]) then
  return {'CLOSED', g[2]}
end
local text, reasoning = logged_text()
local id = finish(ARGV[2], tonumber(g[3]), next_fence(g[3]), tonumber(g[4]) + 1, ARGV[3], 'stopped',
  text, ARGV[4], reasoning)
if not id then
  return lost(ARGV[2])
end
return {'OK', id}
