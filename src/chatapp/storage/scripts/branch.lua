-- Read messages from one of them upwards, a part of the way to the first question; changes nothing.
-- KEYS: messages, chat. ARGV: the message to begin with ('' stands for the chat's last), how many at most, bytes of
-- text after which to stop
-- Answers: OK {head, text, end, last, reasoning, times, ids of the parent's children}…
local rows, id, most, left = {'OK'}, ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if id == '' then
  id = redis.call('HGET', KEYS[2], 'head')
end
while id and #rows <= most and left > 0 do
  local row = redis.call('HMGET', KEYS[1], id, id .. ':text', id .. ':end', id .. ':last', id .. ':reasoning',
    id .. ':times', id .. ':children')
  if not row[1] then
    break
  end
  if #rows > 1 then
    rows[#rows][7] = row[7]
  end
  id = string.match(row[1], '"parent_id":"(%x+)"')
  left = left - #(row[2] or '')
  rows[#rows + 1] = row
end
if #rows > 1 then
  rows[#rows][7] = redis.call('HGET', KEYS[1], (id or '') .. ':children')
end
return rows
