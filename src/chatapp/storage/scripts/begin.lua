-- Begin a turn: question, empty answer, log, and the chat's one generation; all or nothing.
-- ARGV: owner, request, fingerprint, create ('1': make the chat), head (the parent both sides agree on),
--       question id, question head, question text, answer id, answer head, now (ISO 8601),
--       then for a new chat: title, model, system
-- Answers: OK id | DUP question answer (same request again) | MISMATCH (same request, other body)
--        | BUSY message | STALE head | GONE
local owner, request, fingerprint, create, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local question, question_head, question_text = ARGV[6], ARGV[7], ARGV[8]
local answer, answer_head, now = ARGV[9], ARGV[10], ARGV[11]

local known = redis.call('HMGET', chat, 'owner', 'head', 'deleted_at')
if known[1] and (known[1] ~= owner or known[3]) then
  return {'GONE'}
end
if not known[1] and create ~= '1' then
  return {'GONE'}
end

local seen = redis.call('HGET', requests, request)
if seen then
  local print, seen_question, seen_answer = string.match(seen, '^(%S+) (%S+) (%S+)$')
  if print ~= fingerprint then
    return {'MISMATCH'}
  end
  return {'DUP', seen_question, seen_answer}
end

local current = redis.call('HMGET', generation, 'state', 'message', 'fence')
if active(current[1]) then
  return {'BUSY', current[2]}
end
if (known[2] or '') ~= head then
  return {'STALE', known[2] or ''}
end

local fence = next_fence(current[3])
if not known[1] then
  redis.call('HSET', chat, 'owner', owner, 'title', ARGV[12], 'model', ARGV[13], 'system', ARGV[14],
    'created_at', now)
end
redis.call('HSET', chat, 'head', answer, 'updated_at', now)
redis.call('HSET', messages, question, question_head, question .. ':text', question_text,
  answer, answer_head)
redis.call('HSET', requests, request, fingerprint .. ' ' .. question .. ' ' .. answer)
redis.call('HSET', generation, 'state', 'queued', 'message', answer, 'fence', int(fence), 'seq', 0,
  'owner', '', 'lease', 0, 'tries', 0, 'calls', 0, 'progress', 0, 'bytes', 0, 'up', '')
return {'OK', redis.call('XADD', log, int(fence) .. '-0', 't', 'o', 'd', '')}
