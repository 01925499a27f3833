"""How the records of content are kept in an index: what many of them have in common is there once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.text import clean

if TYPE_CHECKING:
    from engine.roster_index import Pool

__all__ = ["ContentCodec"]


class ContentCodec:
    """Content as lists of numbers. Broken records are left out: there are few."""

    form = "content 1"

    def pack(self, record: Content, texts: Pool, values: Pool) -> list[Any] | None:
        picked = record.installation
        if record.problem is not None or picked is None:
            return None
        text = texts.number
        installation = [picked.version, picked.path, picked.target, dict(picked.identity)]
        return [
            *map(text, (record.name, record.app_mode, record.created_by, record.default_image)),
            values.number(installation, json.dumps(installation, sort_keys=True)),
            [
                [
                    b.number,
                    b.deployed_at,
                    text(b.deployed_by),
                    text(b.name),
                    text(b.key),
                    text(b.python_version),
                    b.size,
                ]
                for b in record.bundles
            ],
            record.created_at,
            record.active,
            record.managed,
            record.management,
        ]

    def unpacker(self, texts: Sequence[str], values: Sequence[Any]) -> Callable[[str, list[Any]], Content]:
        installations: dict[int, PickedInstallation] = {}

        def installation(number: int) -> PickedInstallation:
            if number not in installations:
                version, path, target, identity = values[number]
                installations[number] = PickedInstallation(clean(version), clean(path), clean(target), dict(identity))
            return installations[number]

        def bundle(row: list[Any]) -> ContentBundle:
            number, deployed_at, deployed_by, name, key, python_version, size = row
            return ContentBundle(
                int(number),
                float(deployed_at),
                texts[deployed_by],
                texts[name],
                texts[key],
                texts[python_version],
                int(size),
            )

        def unpack(entry: str, row: list[Any]) -> Content:
            name, app_mode, created_by, default_image, picked, bundles, created_at, active, managed, management = row
            return Content(
                guid=entry.rpartition("/")[2],
                name=texts[name],
                app_mode=texts[app_mode],
                created_at=float(created_at),
                created_by=texts[created_by],
                bundles=tuple(map(bundle, bundles)),
                active=int(active),
                installation=installation(picked),
                managed=bool(managed),
                management=None if management is None else bool(management),
                default_image=texts[default_image],
            )

        return unpack
