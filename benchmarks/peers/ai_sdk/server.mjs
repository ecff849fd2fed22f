// The AI SDK's "Chatbot Resume Streams" (node_modules/ai/docs/04-ai-sdk-ui/03-chatbot-resume-streams.mdx) on
// Node's own HTTP server. What is not of the documents: the chat store is a Map, `after` of Next.js is a no-op
// because this process lives on, and the two Redis clients are shared by all streams instead of made for each.
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import {
  UI_MESSAGE_STREAM_HEADERS,
  convertToModelMessages,
  createUIMessageStreamResponse,
  generateId,
  streamText,
  toUIMessageStream,
} from 'ai';
import { createClient } from 'redis';
import { createResumableStreamContext } from 'resumable-stream';

const url = process.env.REDIS_URL;
const publisher = createClient({ url });
const subscriber = createClient({ url });
await Promise.all([publisher.connect(), subscriber.connect()]);
const streamContext = createResumableStreamContext({
  waitUntil: null,
  publisher: {
    connect: async () => {},
    publish: (channel, message) => publisher.publish(channel, message),
    set: (key, value, options) => publisher.set(key, value, options),
    get: key => publisher.get(key),
    incr: key => publisher.incr(key),
  },
  subscriber: {
    connect: async () => {},
    subscribe: (channel, callback) => subscriber.subscribe(channel, callback),
    unsubscribe: channel => subscriber.unsubscribe(channel),
  },
});
const provider = createOpenAICompatible({
  name: 'bench',
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
});
const chats = new Map();
const saveChat = ({ id, ...rest }) => chats.set(id, { messages: [], ...chats.get(id), ...rest });

async function post({ id, message }) {
  const messages = [...(chats.get(id)?.messages ?? []), message];
  saveChat({ id, messages, activeStreamId: null });
  const result = streamText({
    model: provider('bench'),
    messages: await convertToModelMessages(messages),
  });
  return createUIMessageStreamResponse({
    stream: toUIMessageStream({
      stream: result.stream,
      originalMessages: messages,
      generateMessageId: generateId,
      onEnd: ({ messages }) => saveChat({ id, messages, activeStreamId: null }),
    }),
    async consumeSseStream({ stream }) {
      const streamId = generateId();
      await streamContext.createNewResumableStream(streamId, () => stream);
      saveChat({ id, activeStreamId: streamId });
    },
  });
}

async function resume(id) {
  const active = chats.get(id)?.activeStreamId;
  if (active == null) return new Response(null, { status: 204 });
  return new Response(await streamContext.resumeExistingStream(active), {
    headers: UI_MESSAGE_STREAM_HEADERS,
  });
}

async function answer(request) {
  if (request.method === 'POST') {
    const parts = [];
    for await (const part of request) parts.push(part);
    return post(JSON.parse(Buffer.concat(parts).toString()));
  }
  return resume(request.url.split('/')[3]);
}

createServer(async (request, response) => {
  try {
    const { status, headers, body } = await answer(request);
    response.writeHead(status, Object.fromEntries(headers));
    if (body == null) response.end();
    else Readable.fromWeb(body).on('error', () => response.destroy()).pipe(response);
  } catch (error) {
    console.error(error);
    response.writeHead(500).end(String(error));
  }
}).listen(Number(process.env.PORT), '127.0.0.1', 2048);
