"""Runs stock deid on files in a process of its own, since importing its executor patches pydicom.

``python deid_oracle.py RECIPE... -- FILE...`` prints JSON: recipe → file → path of an element → VR and value, or
null where deid itself failed.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings


def flat(dataset, prefix=""):
    found = {}
    for element in dataset:
        path = f"{prefix}{element.keyword or element.tag}"
        if element.VR == "SQ":
            found[path] = ["SQ", len(element.value)]
            for index, item in enumerate(element.value):
                found |= flat(item, f"{path}[{index}].")
        elif element.VR not in {"OB", "OW", "UN", "OF"}:
            found[path] = [element.VR, "" if element.value is None else str(element.value)]
    return found


def main():
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    from deid.config import DeidRecipe
    from deid.dicom import replace_identifiers
    from deid.dicom.fields import _get_fields_inner
    from deid.logger import bot

    bot.level = 0
    split = sys.argv.index("--")
    out = {}
    stdout, sys.stdout = sys.stdout, sys.stderr
    for recipe in sys.argv[1:split]:
        out[recipe] = {}
        for path in sys.argv[split + 1 :]:
            try:
                (dataset,) = replace_identifiers(
                    [path], deid=DeidRecipe(recipe), save=False, remove_private=False, strip_sequences=False
                )
                out[recipe][path] = flat(dataset)
            except BaseException:  # noqa: BLE001 - it exits, too
                out[recipe][path] = None
            _get_fields_inner.cache_clear()
    json.dump(out, stdout)
    stdout.flush()  # it is no longer sys.stdout, which is all that the interpreter sees to at its end


if __name__ == "__main__":
    main()
