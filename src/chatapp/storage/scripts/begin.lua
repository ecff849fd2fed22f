-- Begin a turn: question, empty answer, log, and the chat's one generation; all or nothing.
-- ARGV: owner, request, fingerprint, create ('1': make the chat), head (the parent both sides agree on; '*' where
--       another branch begins, and it does not matter),
--       question id, question head ('': the question is there, and gets another answer), question text,
--       answer id, answer head, now (ISO 8601), then pairs: field of the chat, value
-- Answers: OK id | DUP question answer (same request again) | MISMATCH (same request, other body)
--        | BUSY message | STALE head | GONE
local owner, request, fingerprint, create, head = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local question, question_head, question_text = ARGV[6], ARGV[7], ARGV[8]
local answer, answer_head, now = ARGV[9], ARGV[10], ARGV[11]

local refused, known, before = refusal(owner, request, fingerprint, create == '1')
if refused then
  return refused
end
if head ~= '*' and (known[2] or '') ~= head then
  return {'STALE', known[2] or ''}
end

-- Redis may have lost what the caller has read.
local above = question_head == '' and question or parent_of(question_head)
if above ~= '' and not redis.call('HGET', messages, above) then
  return {'GONE'}
end

if head == '*' then
  keep_branch(known[2])
end
if question_head ~= '' then
  redis.call('HSET', messages, question, question_head, question .. ':text', question_text)
  add_child(above, question)
end
redis.call('HSET', messages, answer, answer_head, answer .. ':times', int(now_ms()))
add_child(question, answer)

local fence = next_fence(before)
local fields = {'head', answer, 'updated_at', now, unpack(ARGV, 12)}
if not known[1] then
  fields[#fields + 1], fields[#fields + 2] = 'owner', owner
  fields[#fields + 1], fields[#fields + 2] = 'created_at', now
end
redis.call('HSET', chat, unpack(fields))
redis.call('HSET', requests, request, fingerprint .. ' ' .. question .. ' ' .. answer)
redis.call('HSET', generation, 'state', 'queued', 'message', answer, 'fence', int(fence), 'seq', 0,
  'owner', '', 'lease', 0, 'tries', 0, 'calls', 0, 'progress', 0, 'bytes', 0, 'up', '', 'asked', 0)
return {'OK', redis.call('XADD', log, int(fence) .. '-0', 't', 'o', 'd', '')}
