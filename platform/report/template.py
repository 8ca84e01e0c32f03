"""What every page shares: pictures for light and for dark paper, and the rendering of templates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from metaray.platform.report.style import DARK, LIGHT, Draw, svg_uri


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot as a page shows it: one image for light paper, one for dark."""

    title: str
    caption: str
    light: str
    dark: str

    @classmethod
    def of(cls, draw: Draw, title: str, caption: str) -> Picture:
        """What ``draw`` draws, on both papers."""
        return cls(
            title=title, caption=caption, light=svg_uri(draw, LIGHT), dark=svg_uri(draw, DARK)
        )


def render(package: str, template: str, **values: Any) -> str:
    """The page of ``template``, which lies in ``package`` and may use what lies in this one."""
    loaders = [PackageLoader(name, ".") for name in (package, __package__ or "")]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
