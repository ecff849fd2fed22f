"""A public link: it shows the branch as it was, and nothing of it once it is taken back."""

import pytest

from chatapp.answers.hub import Hub
from chatapp.chats.reading import Reading
from chatapp.chats.removal import Purge, Removal
from chatapp.chats.sharing import Sharing
from chatapp.errors import NotFound
from chatapp.storage import keys
from chatapp.storage.connections import Connections
from chatapp.storage.tail import Tail
from tests.answers.conftest import OWNER, Asked
from tests.chats.conftest import listed


def sharing(connections: Connections) -> Sharing:
    hub = Hub(connections.commands, Tail(connections.commands, connections.hub))
    return Sharing(connections.commands, Reading(connections.commands, hub))


async def stopped(connections: Connections) -> Asked:
    asked = await listed(connections, "What is tea?")
    await asked.stop()
    return asked


async def test_as_it_was(connections: Connections) -> None:
    asked, links = await stopped(connections), sharing(connections)
    await connections.commands.hset(keys.chat(asked.chat_id), "system", "A secret instruction.")
    token = await links.share(OWNER, asked.chat_id)
    shown = await links.shared(token)
    assert [message.text for message in shown.messages] == ["What is tea?", ""]
    assert (shown.chat.title, shown.chat.owner, shown.chat.system, shown.chat.share) == ("t", "", "", None)
    # The chat has gone on since.
    await connections.commands.hset(keys.chat(asked.chat_id), "head", asked.question_id)
    assert len((await links.shared(token)).messages) == 2
    assert await links.share(OWNER, asked.chat_id) == token
    assert len((await links.shared(token)).messages) == 1


async def test_taken_back(connections: Connections) -> None:
    asked, links = await stopped(connections), sharing(connections)
    token = await links.share(OWNER, asked.chat_id)
    for _ in range(2):
        await links.unshare(OWNER, asked.chat_id)
        with pytest.raises(NotFound):
            await links.shared(token)
    assert not await connections.commands.exists(keys.share(token))
    assert await links.share(OWNER, asked.chat_id) != token


async def test_a_crash_while_it_is_taken_back(connections: Connections) -> None:
    asked, links = await stopped(connections), sharing(connections)
    token = await links.share(OWNER, asked.chat_id)
    await connections.commands.hdel(keys.chat(asked.chat_id), "share")
    with pytest.raises(NotFound):
        await links.shared(token)


async def test_a_deleted_chat(connections: Connections) -> None:
    asked, links = await stopped(connections), sharing(connections)
    token = await links.share(OWNER, asked.chat_id)
    await Removal(connections.commands).delete(OWNER, asked.chat_id)
    for call in (links.shared(token), links.share(OWNER, asked.chat_id), links.unshare(OWNER, asked.chat_id)):
        with pytest.raises(NotFound):
            await call
    await Removal(connections.commands).restore(OWNER, asked.chat_id)
    assert (await links.shared(token)).messages
    await Removal(connections.commands).delete(OWNER, asked.chat_id)
    await Purge(connections.commands).purge(asked.chat_id)
    assert not await connections.commands.exists(keys.share(token))


async def test_of_somebody_else(connections: Connections) -> None:
    asked, links = await stopped(connections), sharing(connections)
    stranger = "f" * 32
    for chat_id in (asked.chat_id, "0" * 32, "x", "*"):
        with pytest.raises(NotFound):
            await links.share(stranger, chat_id)
        with pytest.raises(NotFound):
            await links.unshare(stranger, chat_id)
    for token in ("0" * 32, "x", "", "*", asked.chat_id):
        with pytest.raises(NotFound):
            await links.shared(token)
