"""A client that changes conversations of its own in every way, and sends again what failed.

A request that is sent again has the same idempotency key, or the same ids. Then nothing more is
done, and every answer is the same bytes.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.store import ConversationStore
from testing.bodies import append_request
from tests.soak.load import ASKED, PROGRESS_SECONDS, UNAVAILABLE
from tests.soak.readers import (
    API,
    INFER,
    PAGE,
    Answer,
    Client,
    Common,
    Request,
    texts_of,
    window_of,
)
from tests.soak.talks import State, Talk

# A client has so many conversations, and deletes one that is as long as this.
TALKS, LONGEST = 3, 60
# One fork in so many is of the long conversation.
LONG_ONE_OF = 2


class Changer(Client):
    """Its conversations are `own`."""

    def __init__(self, common: Common, number: int) -> None:
        super().__init__(common, number)
        self.numbers = itertools.count(1)
        self.own: list[Talk] = []
        self.store = ConversationStore(database_alias(common.database))

    def change(self) -> None:
        if not self.own:
            self.create()
            return
        talk = self.choose.choice(self.own)
        if talk.now.last > LONGEST:
            self.delete(talk)
            return
        ways = [self.add, self.add_with_ids, self.say_in_v2, self.set_metadata]
        if talk.now.items:
            ways += [self.rewrite, self.erase, self.pop]
        ways += [self.fork, self.begin] if len(self.own) < TALKS else [self.delete]
        self.choose.choice(ways)(talk)

    def begin(self, talk: Talk) -> None:
        self.choose.choice((self.create, self.create_unnamed))()

    # --- Each way ------------------------------------------------------------------------

    def create(self) -> None:
        texts, pairs = self._texts(), {"a": self._new()}
        talk = self._new_talk()
        document = {"id": talk.memory_id, "items": items_of(texts), "metadata": pairs}
        self._do("create", talk, State(pairs).with_more(texts), Request("POST", API, document))

    def create_unnamed(self) -> None:
        """The server makes the id, the same again for the same key."""
        pairs = {"a": self._new()}
        key = {"Idempotency-Key": self._new()}
        request = Request("POST", API, {"metadata": pairs}, key)
        answers = [self._until_answered(None, request) for _ in range(2)]
        assert answers[0].body == answers[1].body
        talk = Talk(answers[0].document["id"], State(pairs))
        self.own.append(talk)
        self.common.talks.append(talk)
        self._end("create without an id", talk)

    def add(self, talk: Talk) -> None:
        texts = self._texts()
        request = Request("POST", f"{API}/{talk.memory_id}/items", {"items": items_of(texts)})
        self._do("add", talk, talk.now.with_more(texts), request)

    def add_with_ids(self, talk: Talk) -> None:
        texts = self._texts()
        items = [{**item, "id": self._new()} for item in items_of(texts)]
        request = Request("POST", f"{API}/{talk.memory_id}/items", {"items": items})
        self._do("add with ids", talk, talk.now.with_more(texts), request, with_key=False)

    def say_in_v2(self, talk: Talk) -> None:
        text = self._new()
        request = Request("POST", INFER, append_request(talk.memory_id, text, parameters=ASKED))
        answer = self._do("V2", talk, talk.now.with_more([text]), request)
        assert texts_of(answer) == window_of(talk.now)

    def rewrite(self, talk: Talk) -> None:
        texts = self._texts() if self.choose.randrange(4) else []
        start = self.choose.randint(max(1, talk.now.last - 5), talk.now.last)
        path = f"{API}/{talk.memory_id}"
        request = Request("PUT", f"{path}/items?from={start}", {"items": items_of(texts)})
        self._do("rewrite", talk, talk.now.rewritten(start, texts), request, if_match=path)

    def set_metadata(self, talk: Talk) -> None:
        pairs = {"a": self._new()}
        request = Request("POST", f"{API}/{talk.memory_id}", {"metadata": pairs})
        self._do("metadata", talk, State(pairs, talk.now.last, talk.now.items), request)

    def fork(self, talk: Talk) -> None:
        source = talk if self.choose.randrange(LONG_ONE_OF) else self.common.long
        up_to = self.choose.choice(source.now.items)[0] if source.now.items else None
        last = source.now.last if up_to is None else up_to
        new = self._new_talk()
        pairs = {"a": self._new()}
        document = {"id": new.memory_id, "up_to": up_to, "metadata": pairs}
        request = Request("POST", f"{API}/{source.memory_id}/fork", document)
        pairs = {**pairs, "forked_from": source.memory_id, "forked_at": str(last)}
        name = "fork" if source is talk else "long fork"
        self._do(name, new, State(pairs, last, source.now.up_to(last).items), request)

    def erase(self, talk: Talk) -> None:
        position = self.choose.choice(talk.now.items)[0]
        item = self.read(f"{API}/{talk.memory_id}/items/{position}").document
        request = Request("DELETE", f"{API}/{talk.memory_id}/items/{item['id']}")
        self._do("erase", talk, talk.now.without(position), request, with_key=False)

    def delete(self, talk: Talk) -> None:
        request = Request("DELETE", f"{API}/{talk.memory_id}")
        self._do("delete", talk, None, request, with_key=False)
        self.own.remove(talk)

    def pop(self, talk: Talk) -> None:
        """By the store in this process, which is asked again only if nothing was done."""
        position, text = talk.now.items[-1]
        before, after = talk.now, talk.now.without(position)
        talk.begin(after)
        popped = None
        while popped is None:
            try:
                popped = self.store.pop(talk.memory_id)
            except Unavailable:
                self.note_failure(UNAVAILABLE, time.monotonic())
                if self.see_items(talk)[0] != before.items[-PAGE:]:
                    break
        assert popped is None or text in popped
        self._end("pop", talk)

    # --- What they share -----------------------------------------------------------------

    def _do(
        self,
        name: str,
        talk: Talk,
        after: State | None,
        request: Request,
        *,
        with_key: bool = True,
        if_match: str = "",
    ) -> Answer:
        """Send a request until it is answered, and once more if it has a key; then look."""
        headers = {"Idempotency-Key": self._new()} if with_key else {}
        if if_match:
            headers["If-Match"] = self.read(if_match).revision
        request = request._replace(headers=headers)
        talk.begin(after)
        answer = self._until_answered(talk, request)
        if with_key:
            again = self._until_answered(talk, request)
            assert again.body == answer.body, f"{name}: {again.body!r} after {answer.body!r}"
        self._end(name, talk)
        return answer

    def _until_answered(self, talk: Talk | None, request: Request) -> Answer:
        deadline, tries = time.monotonic() + PROGRESS_SECONDS, 1
        while (answer := self.try_once(request)) is None:
            assert time.monotonic() < deadline, self.common.failed[-1]
            tries += 1
            if talk:
                self.look_at(talk)
        self.common.sent_again += tries > 1
        is_gone = tries > 1 and request.method == "DELETE" and answer.status == 404
        assert answer.status == 200 or is_gone, (request, answer)
        return answer

    def _end(self, name: str, talk: Talk) -> None:
        talk.end()
        self.common.done[name] += 1
        self.look_at(talk, 2)

    def _new_talk(self) -> Talk:
        talk = Talk(f"talk-{self._new()}-")
        self.own.append(talk)
        self.common.talks.append(talk)
        return talk

    def _new(self) -> str:
        return f"{self.number}-{next(self.numbers)}"

    def _texts(self) -> list[str]:
        return [self._new() for _ in range(self.choose.randint(1, 3))]


def items_of(texts: list[str]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "input_text", "text": text}]} for text in texts]
