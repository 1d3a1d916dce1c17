"""Answers Athena's API over HTTP; DuckDB executes the queries, as it does in the sandbox."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import duckdb

from sandbox.http_server import Request, Response
from tests.support.command_line import header, reply

type Json = Any


@dataclass
class Athena:
    """One account's Athena, with one database."""

    database: duckdb.DuckDBPyConnection
    on_poll: Callable[[], None] = lambda: None
    """Called when the state of a query is asked for."""
    polls_until_done: int = 0
    """How often a query is still running when its state is asked for."""
    ends_as: Json = None
    """The status of every query, in place of what becomes of it; None executes it."""
    rejects_with: Json = None
    """The error that answers the start of a query."""
    page_size: int = 1000
    started: list[Json] = field(default_factory=list)
    """The requests that started a query."""
    stopped: list[str] = field(default_factory=list)
    _polls: int = 0
    _result: list[tuple[Any, ...]] = field(default_factory=list)
    """The names of the columns, and the rows."""

    def __call__(self, request: Request) -> Response:
        action = (header(request, "X-Amz-Target") or "").removeprefix("AmazonAthena.")
        content = json.loads(request.body)
        match action:
            case "StartQueryExecution":
                return self._start(content)
            case "GetQueryExecution":
                return self._state(content["QueryExecutionId"])
            case "GetQueryResults":
                return self._results(int(content.get("NextToken", 0)))
            case "StopQueryExecution":
                self.stopped.append(content["QueryExecutionId"])
                return reply(200, {})
            case _:
                return reply(400, {"__type": "InvalidAction", "message": action})

    @property
    def query(self) -> str:
        """The query that was started last."""
        text: str = self.started[-1]["QueryString"]
        return text

    def _start(self, content: Json) -> Response:
        if self.rejects_with:
            return reply(400, self.rejects_with)
        self.started.append(content)
        return reply(200, {"QueryExecutionId": f"query-{len(self.started)}"})

    def _state(self, query_id: str) -> Response:
        self._polls += 1
        self.on_poll()
        status: Json = {"State": "RUNNING"}
        if self._polls > self.polls_until_done:
            status = self.ends_as or self._outcome()
        return reply(200, {"QueryExecution": {"QueryExecutionId": query_id, "Status": status}})

    def _outcome(self) -> Json:
        try:
            result = self.database.execute(self.query)
        except duckdb.Error as error:
            return {"State": "FAILED", "StateChangeReason": str(error)}
        names = tuple(column[0] for column in result.description)
        self._result = [names, *result.fetchall()]
        return {"State": "SUCCEEDED"}

    def _results(self, start: int) -> Response:
        names, end = self._result[0], start + self.page_size
        rows = [{"Data": [_datum(it) for it in row]} for row in self._result[start:end]]
        columns = [{"Name": name, "Type": "varchar"} for name in names]
        content = {"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": columns}}}
        has_more = end < len(self._result)
        return reply(200, content | ({"NextToken": str(end)} if has_more else {}))


def _datum(value: object) -> Json:
    """Return a value as Athena does: as text, and a null as nothing."""
    return {} if value is None else {"VarCharValue": str(value)}
