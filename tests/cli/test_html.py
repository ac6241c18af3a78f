"""`--format html`: pages that say what the other forms say."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Runner
from tests.engines import callers
from tests.report.html.reading import read, tables, text
from tests.trees import write


def test_a_page_of_check_says_what_its_json_says(run: Runner, sample: Path) -> None:
    ran = run("check", sample, "--format", "html")
    data = run("check", sample, "--json").json("check")
    assert ran.status == 1 and ran.err == ""
    tree = read(ran.text)
    assert text(tree.find(".//h1")) == "aiterfix check: affected"  # type: ignore[arg-type]
    faults, releases, padding = tables(tree)
    assert [row[:3] for row in faults[1:]] == [
        [f["id"], f["presence"], "yes" if f["decides"] else "no"] for f in data["faults"]
    ]
    there = [f for f in data["faults"] if f["presence"] == "present"]
    assert [text(h).partition(":")[0] for h in tree.iter("h3")] == [f["id"] for f in there]
    assert all(f["trigger"] in text(tree) for f in there)
    drawn = [f for f in there if f["consequence"] not in ("no-run",) and f["id"] != "triton-3-5-1"]
    assert len(tree.findall(".//figure")) == len(drawn) > 3
    assert f"Next: aiterfix apply --path {sample}" in text(tree)
    # Facts that the package ships, and the map of this tree.
    assert "v0.1.20.post1" in releases[-1][0] and releases[0][1:4] == [
        "block-paging",
        "cache-offset-32",
        "column-bound",
    ]
    rows = run("padding", "--path", sample, "--table", "--json").json("padding")["rows"]
    shown = [str(r["columns"]) if r["exact"] or not r["columns"] else f"<= {r['columns']}" for r in rows]
    assert [c for row in padding[1:] for c in row[1:]] == shown


def test_a_page_of_a_clean_tree_shows_no_fault(run: Runner, sample: Path) -> None:
    assert run("apply", "--path", sample, "--require").status == 0
    ran = run("check", sample, "--format", "html")
    assert ran.status == 0
    tree = read(ran.text)
    assert text(tree.find(".//h1")) == "aiterfix check: clean"  # type: ignore[arg-type]
    _, _, padding = tables(tree)
    assert {cell for row in padding[1:] for cell in row[1:]} == {"0"}


def test_a_page_of_nothing(run: Runner, tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    ran = run("check", site, "--format", "html")
    assert ran.status == 4 and "no aiter was found" in ran.text and tables(read(ran.text)) == []


def test_a_hostile_version_stays_text(run: Runner, sample: Path) -> None:
    (metadata,) = sample.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: ", "Version: <script>x</script>\x1b[2J"))
    tree = read(run("check", sample, "--format", "html").text)
    assert "<script>x</script>\\x1b[2J" in text(tree)


def test_what_is_ignored_stands_on_the_page(run: Runner, sample: Path) -> None:
    ran = run("check", sample, "--format", "html", "--ignore", "column-bound=rows are <padded>")
    assert "ignored: column-bound (present): rows are <padded> (--ignore)" in text(read(ran.text))


def test_a_table_of_padding_is_the_same_in_every_form(run: Runner, sample: Path, tmp_path: Path) -> None:
    words = ("padding", "--path", sample, "--table", "--max-model-len", "1000", "--max-model-len", "1024")
    (page,) = tables(read(run(*words, "--format", "html").text))
    rows = run(*words, "--format", "json").json("padding")["rows"]
    assert json.loads(run(*words, "--json").out)["rows"] == rows
    said = {
        (int(row[0]), int(h.removeprefix("block "))): c
        for row in page[1:]
        for h, c in zip(page[0][1:], row[1:], strict=True)
    }
    assert said == {
        (r["max_model_len"], r["block_size"]): str(r["columns"])
        if r["exact"] or not r["columns"]
        else f"<= {r['columns']}"
        for r in rows
    }
    file = tmp_path / "map.html"
    kept = run(*words, "--format", "html", "--output", file)
    assert (kept.out, kept.status) == (b"", 0) and tables(read(file.read_text())) == [page]
    wrong = run("padding", "--path", sample, "--max-model-len", "1000", "--block-size", "64", "--format", "html")
    assert wrong.status == 2 and "Add --table" in wrong.err
    both = run(*words, "--json", "--format", "html")
    assert both.status == 2 and "cannot both be printed" in both.text


def test_a_page_of_a_pair_has_its_launch_facts(run: Runner, sample: Path) -> None:
    """Every line that the text has on a call, and what it is judged for."""
    callers.workspace(sample)
    words = ("check", "--path", sample, "--for", "vllm", "--block-size", "64", "--max-model-len", "10000")
    lines = run(*words).text.splitlines()
    (at,) = [
        n for n, line in enumerate(lines) if line.startswith("  ") and ".py:" in line and line.endswith("until-apply")
    ]
    facts = [line.strip() for line in lines[at + 1 : lines.index("", at)] if not line.strip().startswith("not judged")]
    page = read(run(*words, "--format", "html").text)
    listed = [text(item) for item in page.iter("li")][-len(facts) + 1 :]
    assert facts[1:] == listed and any(f.startswith("padding 0; KVBlockSize ") for f in listed)
    assert {"width", "evidence"} <= {f.partition(":")[0] for f in listed}
    shown = text(page)
    assert f"{facts[0]}." in shown
    assert "judged for --max-model-len 10000, --block-size 64, --heads 64; for any --max-num-seqs, --next-n" in shown


def test_a_page_names_kernels_that_are_not_judged(run: Runner, sample: Path) -> None:
    other = "aiter/ops/triton/gluon/fp8_mqa_logits.py"
    write(sample / other, "def _gluon_fp8_mqa_logits_kernel(): pass\n")
    (metadata,) = sample.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: 0.0.1+sample", "Version: 0.1.20.post1"))
    seen = run("check", sample, "--json").json("check")
    page = read(run("check", sample, "--format", "html").text)
    named = tables(page)[-1]
    assert named[0] == ["file", "what"] and [row[0] for row in named[1:]] == [other]
    assert [k["path"] for k in seen["not_judged_kernels"]] == [str(sample / other)]
    told = [text(item) for item in page.iter("li")][-len(seen["facts"]) :]
    assert seen["facts"] and all(f["fact"] in said for f, said in zip(seen["facts"], told, strict=True))
