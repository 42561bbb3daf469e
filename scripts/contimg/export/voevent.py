"""The last alert packet of every source as a VOEvent (IVOA VOEvent 2.0).

What supersedes an event or takes it back cites it.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

from contimg.core.errors import ContimgError
from contimg.core.records import write_text
from contimg.core.window import utc
from contimg.variability.alerts import PARAMETERS, Alert, last_alerts
from contimg.variability.columns import CANDIDATES

NAMESPACE = "http://www.ivoa.net/xml/VOEvent/v2.0"
SCHEMA = "http://www.ivoa.net/xml/VOEvent/VOEvent-v2.0.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
FRAME = "UTC-ICRS-TOPO"
AUTHOR = "ivo://contimg"
CONCEPT = "process.variation;em.radio"
IMPORTANCE = {"high": 1.0, "medium": 0.5, None: 0.0}
MEASURED = {
    "last_epoch_mjd": ("d", "time.epoch;obs", "last measurement that was searched, MJD UTC"),
    "n_epochs": ("", "meta.number;obs", "good epochs"),
}


def write_voevents(alerts: Path, folder: Path, position_error_arcsec: float | None) -> list[Path]:
    """An event of the last packet of each source in `alerts`, named by source and version.

    A VOEvent must say how well its place is known, which is that of the catalogue.
    """
    if position_error_arcsec is None:
        raise ContimgError(
            "a VOEvent states the error of its position: give that of the catalogue of the targets"
            " (--position-error-arcsec)"
        )
    if not alerts.is_dir():
        raise ContimgError(f"{alerts}: no search for events has been made yet (contimg status)")
    written = []
    for _, alert in sorted(last_alerts(alerts).items()):
        file = folder / f"{quote(alert.source, safe='+')}.{alert.version:04d}.xml"
        now = datetime.datetime.now(datetime.UTC)
        write_text(file, voevent(alert, now, position_error_arcsec))
        written.append(file)
    return written


def ivorn(packet: str) -> str:
    """The identifier of the event of a packet (``source/version``)."""
    return f"{AUTHOR}/ese#{quote(packet, safe='/+')}"


def voevent(alert: Alert, now: datetime.datetime, position_error_arcsec: float) -> str:
    """The event as text."""
    ET.register_namespace("voe", NAMESPACE)
    root = ET.Element(f"{{{NAMESPACE}}}VOEvent", version="2.0", ivorn=ivorn(alert.id))
    root.set("role", "observation")
    root.set(f"{{{XSI}}}schemaLocation", f"{NAMESPACE} {SCHEMA}")
    _who(root, now)
    _what(root, alert)
    if alert.ra_deg is not None and alert.dec_deg is not None:
        place = alert.ra_deg, alert.dec_deg, position_error_arcsec / 3600
        _where_when(root, *place, alert.last_epoch_mjd)
    _text(_text(root, "How"), "Description", "Search of radio light curves for plasma lenses")
    _why(root, alert)
    if alert.supersedes is not None:
        cite = "retraction" if alert.kind == "retracted" else "supersedes"
        citations = _text(root, "Citations")
        _text(citations, "EventIVORN", ivorn(alert.supersedes), cite=cite)
        _text(citations, "Description", alert.reason)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(parent: ET.Element, tag: str, content: str | None = None, **more: str) -> ET.Element:
    element = ET.SubElement(parent, tag, more)
    element.text = content
    return element


def _who(root: ET.Element, now: datetime.datetime) -> None:
    who = _text(root, "Who")
    _text(who, "AuthorIVORN", AUTHOR)
    _text(who, "Date", f"{now:%Y-%m-%dT%H:%M:%S}")
    _text(_text(who, "Author"), "title", "contimg: continuum imaging of DSA-110")


def _what(root: ET.Element, alert: Alert) -> None:
    """The packet's values; those of the dip, with their errors, in a group."""
    what = _text(root, "What")
    for name, known in MEASURED.items():
        _param(what, name, getattr(alert, name), known)
    if alert.false_alarm_probability is not None:
        name = "false_alarm_probability"
        _param(what, name, alert.false_alarm_probability, CANDIDATES[name])
    if alert.parameters:
        group = _text(what, "Group", name="dip")
        for name, value in alert.parameters.items():
            error = PARAMETERS[name]
            _param(group, name, value.value, CANDIDATES[name])
            _param(group, error, value.error, CANDIDATES[error])


def _param(parent: ET.Element, name: str, value: float, known: tuple[str, str, str]) -> None:
    unit, ucd, words = known
    kind = "int" if isinstance(value, int) else "float"
    param = _text(parent, "Param", name=name, value=repr(value), ucd=ucd, dataType=kind)
    if unit:
        param.set("unit", unit)
    _text(param, "Description", words)


def _where_when(
    root: ET.Element, ra_deg: float, dec_deg: float, error_deg: float, mjd: float
) -> None:
    data = _text(_text(root, "WhereWhen"), "ObsDataLocation")
    _text(data, "ObservatoryLocation", id="OVRO")
    place = _text(data, "ObservationLocation")
    _text(place, "AstroCoordSystem", id=FRAME)
    coords = _text(place, "AstroCoords", coord_system_id=FRAME)
    instant = _text(_text(coords, "Time", unit="s"), "TimeInstant")
    _text(instant, "ISOTime", utc(mjd))
    position = _text(coords, "Position2D", unit="deg")
    _text(position, "Name1", "RA")
    _text(position, "Name2", "Dec")
    value = _text(position, "Value2")
    _text(value, "C1", repr(ra_deg))
    _text(value, "C2", repr(dec_deg))
    _text(position, "Error2Radius", f"{error_deg:.6f}")


def _why(root: ET.Element, alert: Alert) -> None:
    why = _text(root, "Why", importance=str(IMPORTANCE[alert.priority]))
    _text(why, "Name", alert.source)
    _text(why, "Concept", CONCEPT)
    if alert.kind == "retracted":
        _text(why, "Description", f"taken back: {alert.reason}")
        return
    _text(why, "Description", "candidate for an extreme scattering event")
