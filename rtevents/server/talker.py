"""Talker: the far end of a WebSocket, which says commands besides following the stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from rtevents.core.event import Stored
from rtevents.errors import BadInput, NotAllowed
from rtevents.server.commands import Command, Referring, obey, offer
from rtevents.server.follower import Follower
from rtevents.server.keys import House, decode, problem_fields, told_of
from rtevents.server.member import Member
from rtevents.server.principal import Principal
from rtevents.server.publish import ACTION, stored_fields, told_to

logger = logging.getLogger(__name__)

MAX_MESSAGE = 16 * 1024 * 1024
"""Largest message, in bytes: what a request may be."""

MAX_UNANSWERED = 64
"""Most `publish` commands that wait for their answers before the next command is obeyed."""


class Talker(Follower):
    """
    One peer of a WebSocket.

    Commands are obeyed in their order. The answers of `publish` commands are not waited for, so
    that many share a transaction; whatever else is answered waits until all before it are.

    Nothing may follow a close frame (RFC 6455, section 5.5.1), and the fan-out writes the frames of
    the stream to the transport by itself. So the library's frames are written while the stream is
    open, and its close frame when the stream has ended.

    Args:
        lost: Called once, when the connection has ended.
        house: The rooms.
        principal: Who says the commands.

    Attributes:
        member: Its place in the fan-out; set before the first byte comes.
    """

    __slots__ = (
        "_answers", "_begun", "_house", "_is_noted", "_is_text", "_principal", "_protocol", "_said",
        "_task", "_unanswered", "_waiter", "member",
    )  # fmt: skip

    member: Member

    def __init__(self, lost: Callable[[], None], house: House, principal: Principal) -> None:
        super().__init__(lost)
        self._house = house
        self._principal = principal
        self._protocol = Protocol(Side.SERVER, state=OPEN, max_size=MAX_MESSAGE, logger=logger)
        # Not one line per frame, whatever the log's level.
        self._protocol.debug = False
        # The message of which not all fragments have come.
        self._begun = bytearray()
        self._is_text = False
        # Whole messages that wait for their turn: a text, or None for what is none.
        self._said: list[bytes | None] = []
        self._task: asyncio.Task[None] | None = None
        self._unanswered = 0
        self._is_noted = False
        self._answers: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    def data_received(self, data: bytes) -> None:
        """Note that the peer lives, and obey what it says."""
        member = self.member
        member.unanswered_since = None
        member.connection.touch()
        self._protocol.receive_data(data)
        try:
            for event in self._protocol.events_received():
                if isinstance(event, Frame):
                    self._hear(event)
        except UnicodeDecodeError as error:
            self._protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at byte {error.start}")
        if member.connection.is_closed:
            self.listen()
            return
        if not self._is_over and (pongs := self._protocol.data_to_send()):
            member.write(b"".join(pongs))
        if self._task is not None or self._room is not None:
            # Who says more than can be answered, or reads no answer, is heard no further.
            member.transport.pause_reading()
        if self._task is None and (self._said or self._is_over):
            self._task = asyncio.get_running_loop().create_task(self._converse())

    def resume_writing(self) -> None:
        """Let ``drain`` go on, and hear on: a pong is an answer, too."""
        super().resume_writing()
        self._read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; what was published is stored all the same."""
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()

    def flush(self) -> None:
        """Write the answers that are there."""
        answers, self._answers = self._answers, []
        if answers:
            self.member.write(b"".join(answers))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def listen(self) -> None:
        """Obey nothing more: a stream that has ended waits for the peer's close frame alone."""
        self._said.clear()
        if self._is_over:
            self.member.close()
        else:
            self._read_on()

    @property
    def _is_over(self) -> bool:
        """Whether the peer has closed, or has said what is no message."""
        return self._protocol.state is not OPEN

    def _hear(self, frame: Frame) -> None:
        """
        Put the fragments of messages together; the library sees to all else.

        Raises:
            UnicodeDecodeError: The text is none.
        """
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        # Joined at once: fragments may be empty, and any number of them.
        self._begun += frame.data
        if frame.fin:
            text, self._begun = bytes(self._begun), bytearray()
            if self._is_text:
                text.decode()
            self._said.append(text if self._is_text else None)

    async def _converse(self) -> None:
        """Obey what was said, in order; then answer the close frame of who has closed."""
        connection = self.member.connection
        try:
            while self._said:
                said, self._said = self._said, []
                for text in said:
                    if self._room is not None:
                        # Who does not read the answers is asked for no further command.
                        await self._house.streams.drained(self.member)
                    if connection.is_closed:
                        return
                    await self._obey(text)
            if self._is_over:
                await self._answered()
                self._part()
        except ConnectionError:
            pass  # it is gone, or was cut off
        finally:
            self._task = None
            self._read_on()

    async def _obey(self, text: bytes | None) -> None:
        ref: Any = None
        try:
            if text is None:
                raise BadInput("expected a text message")
            ref = decode(text, Referring).ref
            command = decode(text, Command)
            if (offered := offer(self._house, self._principal, command)) is not None:
                self._note(command)
                self._unanswered += 1
                offered.stored.add_done_callback(partial(self._answer, ref, offered.house))
                await self._answered(MAX_UNANSWERED - 1)
                return
            await self._answered()
            if self.member.connection.is_closed:
                return
            fields = await obey(self._house, self._principal, self.member, command)
            self._note(command)
            name, answer = "ok", {"ref": ref, **fields}
        except Exception as error:  # noqa: BLE001 - answered, and told in the log if it is a bug
            if isinstance(error, NotAllowed):
                audit, about = self._house.guard.audit, error.about
                audit.refuse(self._principal, "WS command", "grant", about=about)
            name, answer = "error", _error_fields(ref, error)
            await self._answered()
        if not self.member.connection.is_closed:
            self.member.control(name, **answer)
        # Others have their turn between the commands of who says many at once.
        await asyncio.sleep(0)

    def _note(self, command: Command) -> None:
        """Write down, once for all that this connection publishes, that it may."""
        if not self._is_noted and command.op == "publish":
            self._house.guard.audit.allow(self._principal, ACTION)
            self._is_noted = True

    def _answer(self, ref: Any, house: House, stored: asyncio.Future[list[Stored]]) -> None:
        """Answer a `publish`: the store tells what is stored in the order of the commands."""
        self._unanswered -= 1
        if not self.member.connection.is_closed:
            if (error := stored.exception()) is None:
                name, fields = "ok", {"ref": ref, **stored_fields(house, stored.result())}
            else:
                name, fields = "error", _error_fields(ref, told_to(self._principal, error))
            self._answers.append(self.member.encoding.control(name, fields))
        if not self._unanswered:
            self.flush()
        elif len(self._answers) == 1:
            # At the end of this turn: what one transaction stored is answered by one write.
            asyncio.get_running_loop().call_soon(self.flush)

    async def _answered(self, most: int = 0) -> None:
        """Return when at most so many `publish` commands are to be answered."""
        while self._unanswered > most:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _part(self) -> None:
        """End the stream, answer the peer's close frame or say what it did wrong, and hang up."""
        if not self.member.connection.is_closed:
            last_words = b"".join(self._protocol.data_to_send())
            self._house.service.disconnect(self.member.connection)
            self.member.write(last_words)
            self.member.close()

    def _read_on(self) -> None:
        transport = self.member.transport
        if not (transport.is_closing() or transport.is_reading()):
            transport.resume_reading()


def _error_fields(ref: Any, error: BaseException) -> dict[str, Any]:
    fields = problem_fields(told_of(error))
    del fields["type"]
    return {"ref": ref, **fields}
