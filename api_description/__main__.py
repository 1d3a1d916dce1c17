"""Writes the committed descriptions: `python -m api_description`."""

from api_description.files import FOLDER, generated_files

for name, content in generated_files().items():
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
