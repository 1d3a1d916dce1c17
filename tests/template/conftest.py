"""Fixtures: the template as it is written, and as SAM translates it."""

import pytest

from tests.support.cloudformation import Template, load_template
from tests.template.deployment import translate


@pytest.fixture(scope="session")
def template() -> Template:
    return load_template()


@pytest.fixture(scope="session")
def stack(template: Template) -> Template:
    return translate(template)
