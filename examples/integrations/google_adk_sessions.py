"""A SessionService of Google's ADK in convstore.

    runner = Runner(app_name="app", agent=agent, session_service=ConvstoreSessionService(store))

A session is a conversation, and each event one message of it: its author and its text for people,
and all of it under `google_adk`. The state of a session follows from its events, so both change in
one transaction. The states of a user and of an app are conversations of their own, which are
changed before the event is added: a crash in between leaves them changed without it. Needs
google-adk 2.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.sessions.base_session_service import (
    BaseSessionService,
    GetSessionConfig,
    ListSessionsResponse,
)
from google.adk.sessions.session import Session
from google.adk.sessions.state import State

from convstore.errors import (
    Changed,
    ConversationExists,
    RequestKeyReused,
    UnknownConversation,
)
from convstore.messages import Message, Part
from convstore.store import ConversationStore

RAW, STATE = "google_adk", "google_adk_state"
NAMESPACE = uuid.UUID("3f1f9cbb-6f2d-5b0e-9c3e-6a2f1c8f4b1d")


class ConvstoreSessionService(BaseSessionService):
    def __init__(self, store: ConversationStore | None = None) -> None:
        self.store = store or ConversationStore()

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        name = (session_id or "").strip() or str(uuid.uuid4())
        begin = [_state_message(_own(state or {}))]
        try:
            await self.store.acreate(_id(app_name, user_id, name), begin)
        except ConversationExists:
            raise AlreadyExistsError(f"Session with id {name} already exists.") from None
        await self._share(app_name, user_id, state or {})
        session = await self.get_session(app_name=app_name, user_id=user_id, session_id=name)
        if session is None:
            raise SessionNotFoundError(f"Session {name} not found.")
        return session

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        name = session_id.strip()
        found = await self.store.afind(_id(app_name, user_id, name))
        if found is None:
            return None
        state, events = await self._history(found.memory_id)
        changed_at = events[-1].timestamp if events else found.created_at.timestamp()
        shared = await self._shared(app_name, user_id)
        return Session(
            app_name=app_name,
            user_id=user_id,
            id=name,
            state={**state, **shared},
            events=_chosen(events, config or GetSessionConfig()),
            last_update_time=changed_at,
        )

    async def list_sessions(
        self, *, app_name: str, user_id: str | None = None
    ) -> ListSessionsResponse:
        prefix = _id(app_name, *([] if user_id is None else [user_id]), "")
        sessions: list[Session] = []
        after = None
        while page := await self.store.aconversations(100, after, prefix=prefix):
            after = page[-1]
            for found in page:
                names = [unquote(part) for part in found.memory_id.split("/")[1:]]
                given = dict(zip(("app_name", "user_id", "session_id"), names, strict=True))
                session = await self.get_session(**given)
                if session is not None:
                    sessions.append(session.model_copy(update={"events": []}))
        sessions.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        try:
            await self.store.adelete(_id(app_name, user_id, session_id.strip()))
        except UnknownConversation:
            return

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        return (await self._state_of("user", app_name, user_id))[0]

    async def append_event(self, session: Session, event: Event) -> Event:
        """Add an event once; a second call with an equal event does nothing."""
        if event.partial or event in session.events:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        name = _id(session.app_name, session.user_id, session.id)
        if await self.store.afind(name) is None:
            raise SessionNotFoundError(f"Session {session.id} not found.")
        message = _event_message(event)
        key = uuid.uuid5(NAMESPACE, f"{name} {event.id}")
        await self._share(session.app_name, session.user_id, event.actions.state_delta)
        try:
            try:
                await self.store.arewrite(name, None, [message], key)
            except RequestKeyReused:  # another event with the same id
                await self.store.arewrite(name, None, [message])
        except UnknownConversation:
            raise SessionNotFoundError(f"Session {session.id} not found.") from None
        session.last_update_time = event.timestamp
        return self._commit_event_to_session(session, event)

    # --- Events and states -----------------------------------------------------------

    async def _history(self, name: str) -> tuple[dict[str, Any], list[Event]]:
        """The session's own state, which its events have led to, and all events."""
        state: dict[str, Any] = {}
        events: list[Event] = []
        after = 0
        while (page := await self.store.apage(name, 500, after)).rows:
            after = page.rows[-1].position
            for row in page.rows:
                extra = Message.from_json(row.body).extra
                if STATE in extra:
                    state |= extra[STATE]
                    continue
                event = Event.model_validate_json(json.dumps(extra[RAW]))
                state |= _own(event.actions.state_delta)
                events.append(event)
        return state, events

    async def _shared(self, app_name: str, user_id: str) -> dict[str, Any]:
        of_app, _ = await self._state_of("app", app_name)
        of_user, _ = await self._state_of("user", app_name, user_id)
        return {
            **{State.APP_PREFIX + name: value for name, value in of_app.items()},
            **{State.USER_PREFIX + name: value for name, value in of_user.items()},
        }

    async def _share(self, app_name: str, user_id: str, delta: Mapping[str, Any]) -> None:
        """Change what is shared with other sessions."""
        await self._change(_of_prefix(delta, State.APP_PREFIX), "app", app_name)
        await self._change(_of_prefix(delta, State.USER_PREFIX), "user", app_name, user_id)

    async def _state_of(self, *names: str) -> tuple[dict[str, Any], str | None]:
        """A shared state, and the revision of its conversation; it is the newest message there."""
        found = await self.store.afind(_state_id(*names))
        if found is None:
            return {}, None
        rows = (await self.store.apage(found.memory_id, 1, newest_first=True)).rows
        state: dict[str, Any] = Message.from_json(rows[0].body).extra[STATE] if rows else {}
        return state, found.revision

    async def _change(self, delta: dict[str, Any], *names: str) -> None:
        while delta:
            state, revision = await self._state_of(*names)
            new = [_state_message({**state, **delta})]
            try:
                if revision is None:
                    await self.store.acreate(_state_id(*names), new)
                else:
                    await self.store.arewrite(_state_id(*names), 1, new, revisions=[revision])
            except (Changed, ConversationExists):
                continue  # somebody else was quicker
            return


def _id(*names: str) -> str:
    return "/".join(["adk", *(quote(name, safe="") for name in names)])


def _state_id(*names: str) -> str:
    return "/".join(["adk-state", *(quote(name, safe="") for name in names)])


def _of_prefix(delta: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    found = delta.items()
    return {name.removeprefix(prefix): value for name, value in found if name.startswith(prefix)}


def _own(delta: Mapping[str, Any]) -> dict[str, Any]:
    shared = (State.APP_PREFIX, State.USER_PREFIX, State.TEMP_PREFIX)
    return {name: value for name, value in delta.items() if not name.startswith(shared)}


def _chosen(events: list[Event], config: GetSessionConfig) -> list[Event]:
    if config.num_recent_events is not None:
        events = events[len(events) - min(config.num_recent_events, len(events)) :]
    if config.after_timestamp is not None:
        older = [n for n, event in enumerate(events) if event.timestamp < config.after_timestamp]
        events = events[older[-1] + 1 :] if older else events
    return events


def _state_message(state: dict[str, Any]) -> Message:
    return Message("system", [], {STATE: state}, in_windows=False)


def _event_message(event: Event) -> Message:
    parts = event.content.parts or [] if event.content else []
    texts = [Part("text", part.text) for part in parts if part.text]
    raw = json.loads(event.model_dump_json(exclude_none=True))
    return Message("user" if event.author == "user" else "assistant", texts, {RAW: raw})
