"""A Table Access Service of one table, just enough for stilts taplint to examine it."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, quoteattr

from astropy.io.votable import parse
from astropy.io.votable.tree import TableElement

IVOA = "http://www.ivoa.net/xml"
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
TEXTS = ("char", "unicodeChar")


@contextmanager
def serve(votable: Path) -> Iterator[str]:
    """Address of a service that has the table as ``ivoa.ObsCore``."""
    table = parse(votable).get_first_table()
    base = sqlite3.connect(":memory:", check_same_thread=False)
    table.to_table().to_pandas().to_sql("ObsCore", base, index=False)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/capabilities":
                self.answer(capabilities(f"http://{self.headers['Host']}"))
            elif address.path == "/tables":
                self.answer(tables(table))
            else:
                with lock:
                    self.answer(query(table, base, parse_qs(address.query)["QUERY"][0]))

        def answer(self, text: str) -> None:
            content = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        base.close()


def capabilities(address: str) -> str:
    return (
        f'<c:capabilities xmlns:c="{IVOA}/VOSICapabilities/v1.0" {XSI}'
        f' xmlns:vs="{IVOA}/VODataService/v1.1" xmlns:tr="{IVOA}/TAPRegExt/v1.0">'
        '<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">'
        '<interface xsi:type="vs:ParamHTTP" role="std">'
        f'<accessURL use="base">{address}</accessURL></interface>'
        '<dataModel ivo-id="ivo://ivoa.net/std/ObsCore#core-1.1">ObsCore-1.1</dataModel>'
        "<language><name>ADQL</name>"
        '<version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version></language>'
        "<outputFormat><mime>application/x-votable+xml</mime></outputFormat>"
        "</capability>"
        '<capability standardID="ivo://ivoa.net/std/VOSI#tables">'
        '<interface xsi:type="vs:ParamHTTP" role="std">'
        f'<accessURL use="full">{address}/tables</accessURL></interface></capability>'
        "</c:capabilities>"
    )


def tables(table: TableElement) -> str:
    columns = []
    for field in table.fields:
        said = {"unit": field.unit, "ucd": field.ucd, "utype": field.utype}
        more = "".join(f"<{k}>{escape(str(v))}</{k}>" for k, v in said.items() if v)
        size = ' arraysize="*"' if field.datatype in TEXTS else ""
        columns.append(
            f'<column std="true"><name>{field.name}</name>{more}'
            f'<dataType xsi:type="vs:VOTableType"{size}>{field.datatype}</dataType></column>'
        )
    return (
        f'<t:tableset xmlns:t="{IVOA}/VOSITables/v1.0" xmlns:vs="{IVOA}/VODataService/v1.1" {XSI}>'
        '<schema><name>ivoa</name><table type="table"><name>ivoa.ObsCore</name>'
        f"{''.join(columns)}</table></schema></t:tableset>"
    )


def query(table: TableElement, base: sqlite3.Connection, adql: str) -> str:
    """The answer to one of taplint's queries, which SQLite understands but for TOP."""
    top = re.search(r"\bTOP (\d+)", adql)
    sql = re.sub(r"\bTOP \d+", "", adql).replace("ivoa.ObsCore", "ObsCore")
    found = base.execute(f"{sql} LIMIT {top[1]}" if top else sql)
    kinds = {field.name: field.datatype for field in table.fields}
    fields = ""
    for name, *_ in found.description:
        size = ' arraysize="*"' if kinds[name] in TEXTS else ""
        fields += f'<FIELD name={quoteattr(name)} datatype="{kinds[name]}"{size}/>'
    rows = "".join(
        f"<TR>{''.join(f'<TD>{escape(str(value))}</TD>' for value in row)}</TR>" for row in found
    )
    return (
        f'<VOTABLE version="1.3" xmlns="{IVOA}/VOTable/v1.3"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}<DATA><TABLEDATA>{rows}'
        "</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
