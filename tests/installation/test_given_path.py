"""``find_path``: whatever folder is named."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from aiterfix.errors import UsageError
from aiterfix.installation import search, survey
from aiterfix.installation.given_path import find_image, find_path
from aiterfix.installation.survey import survey as walk
from aiterfix.installation.target import Kind
from aiterfix.installation.view import View
from tests.trees import (
    COMMIT,
    amd_package,
    checkout,
    dist_info,
    editable_finder,
    editable_path_line,
    fake_venv,
    unrelated_package,
    wheel_install,
    write,
)


def test_site_packages_prefix_and_package_name_the_same_wheel(tmp_path: Path) -> None:
    site = fake_venv(tmp_path / "venv")
    package = wheel_install(site)
    for named in (tmp_path / "venv", site, package):
        (found,) = find_path(named).installations
        assert found.package == package
        assert found.root == site
        assert (found.kind, found.distribution, found.version) == (Kind.WHEEL, "amd-aiter", "0.1.20")
        assert found.dist_info == site / "amd_aiter-0.1.20.dist-info"
        assert not found.shadowed


@pytest.mark.parametrize("git", ["branch", "packed", "detached", "worktree"])
def test_checkout_states_its_commit(tmp_path: Path, git: str) -> None:
    package = checkout(tmp_path / "aiter", git=git)  # the clone is called like the package, as it usually is
    for named in (tmp_path / "aiter", package, tmp_path):
        (found,) = find_path(named).installations
        assert (found.package, found.kind, found.commit) == (package, Kind.CHECKOUT, COMMIT)


def test_checkout_without_repository(tmp_path: Path) -> None:
    checkout(tmp_path, version="0.1.21.dev4+g89abcdef0.d20260101")
    (found,) = find_path(tmp_path).installations
    assert (found.kind, found.version, found.commit) == (
        Kind.CHECKOUT,
        "0.1.21.dev4+g89abcdef0.d20260101",
        "89abcdef0",
    )


def test_commit_is_not_taken_from_a_repository_around_the_environment(tmp_path: Path) -> None:
    write(tmp_path / ".git/HEAD", COMMIT)
    site = fake_venv(tmp_path / "venv")
    wheel_install(site)
    assert find_path(site).installations[0].commit is None


def test_source_layout(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml")
    write(tmp_path / ".git/HEAD", COMMIT)
    package = amd_package(tmp_path / "src")
    (found,) = find_path(tmp_path).installations
    assert (found.package, found.kind, found.commit) == (package, Kind.CHECKOUT, COMMIT)


def test_pep_610_commit_of_a_wheel(tmp_path: Path) -> None:
    site = fake_venv(tmp_path)
    wheel_install(site, direct_url={"url": "https://example.invalid/aiter", "vcs_info": {"commit_id": COMMIT}})
    assert find_path(site).installations[0].commit == COMMIT


def test_editable_takes_the_checkout_of_today_over_the_record_of_then(tmp_path: Path) -> None:
    site = fake_venv(tmp_path / "venv")
    checkout(tmp_path / "clone", git="branch", version="0.1.1+g7777777")
    editable_path_line(site, tmp_path / "clone")
    (found,) = find_path(site).installations
    assert (found.kind, found.version, found.commit) == (Kind.EDITABLE, "0.1.20", COMMIT)
    assert found.dist_info == site / "amd_aiter-0.1.20.dist-info"


def test_metadata_that_owns_no_package_does_not_make_a_wheel(tmp_path: Path) -> None:
    # Site-packages holds a copied tree, and the metadata of an editable install of another one.
    site = fake_venv(tmp_path / "venv")
    amd_package(site, version="0.1.5")
    editable_finder(site, checkout(tmp_path / "clone"))
    first, second = find_path(site).installations
    assert (first.kind, first.version, first.dist_info) == (Kind.TREE, "0.1.5", None)
    assert (second.kind, second.version, second.shadowed) == (Kind.EDITABLE, "0.1.20", True)


def test_metadata_without_record_counts_by_its_place(tmp_path: Path) -> None:
    site = fake_venv(tmp_path)
    amd_package(site)
    dist_info(site, files=None)
    assert find_path(site).installations[0].kind is Kind.WHEEL


@pytest.mark.parametrize("form", ["folder", "file"])
def test_egg_info(tmp_path: Path, form: str) -> None:
    site = fake_venv(tmp_path)
    amd_package(site)
    info = site / "amd_aiter-0.1.9-py3.11.egg-info"
    write(info / "PKG-INFO" if form == "folder" else info, "Name: amd-aiter\nVersion: 0.1.9\n")
    (found,) = find_path(site).installations
    assert (found.kind, found.distribution, found.version, found.dist_info) == (Kind.WHEEL, "amd-aiter", "0.1.9", None)


def test_early_sources_called_themselves_aiter(tmp_path: Path) -> None:
    site = fake_venv(tmp_path)
    dist_info(site, name="aiter", version="0.1.0", files=[amd_package(site)])
    (found,) = find_path(site).installations
    assert (found.distribution, found.version) == ("aiter", "0.1.0")


def test_both_distributions_written_into_one_folder(tmp_path: Path) -> None:
    site = fake_venv(tmp_path)
    package = wheel_install(site)
    unrelated_package(site)
    dist_info(site, name="aiter", version="9.13.2019", files=[package / "joined.py", package / "__init__.py"])
    found = find_path(site)
    assert [(item.distribution, item.version) for item in found.installations] == [("amd-aiter", "0.1.20")]
    assert [item.path.name for item in found.skipped] == ["aiter-9.13.2019.dist-info"]
    assert found.doubts == ()


def test_stale_metadata_of_an_older_version(tmp_path: Path) -> None:
    site = fake_venv(tmp_path)
    dist_info(site, version="0.1.9", files=[wheel_install(site)])
    found = find_path(site)
    assert found.installations[0].version == "0.1.20"
    assert [item.path.name for item in found.skipped] == ["amd_aiter-0.1.9.dist-info"]


def test_several_python_versions_of_one_prefix_do_not_shadow_each_other(tmp_path: Path) -> None:
    packages = [wheel_install(fake_venv(tmp_path, python=version)) for version in ("3.10", "3.12")]
    found = find_path(tmp_path)
    assert [(item.package, item.shadowed) for item in found.installations] == [(path, False) for path in packages]


def test_lib64_link_is_the_same_environment(tmp_path: Path) -> None:
    wheel_install(fake_venv(tmp_path))
    (tmp_path / "lib64").symlink_to("lib")
    assert len(find_path(tmp_path).installations) == 1


def test_linked_site_packages(tmp_path: Path) -> None:
    package = wheel_install(tmp_path / "elsewhere")
    (tmp_path / "venv/lib/python3.11").mkdir(parents=True)
    (tmp_path / "venv/lib/python3.11/site-packages").symlink_to(tmp_path / "elsewhere")
    (found,) = find_path(tmp_path / "venv").installations
    assert found.package.resolve() == package


def test_environment_that_includes_system_packages(tmp_path: Path) -> None:
    system = tmp_path / "base"
    package = wheel_install(system / "local/lib/python3.11/dist-packages")
    wheel_install(system / "lib/python3.9/site-packages")
    fake_venv(tmp_path / "venv", home=system / "bin")
    (found,) = find_path(tmp_path / "venv").installations
    assert found.package == package
    fake_venv(tmp_path / "alone")
    assert find_path(tmp_path / "alone").installations == ()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    for folder in ("usr/bin", "etc", "var", "opt", "proc/1/root", "sys", "root"):
        (root / folder).mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "usr/lib").mkdir()
    return root


@pytest.mark.parametrize(
    "site",
    [
        "usr/lib/python3/dist-packages",
        "usr/local/lib/python3.12/dist-packages",
        "usr/local/lib/python3.10/site-packages",
        "opt/venv/lib/python3.12/site-packages",
        "opt/conda/envs/py_3.12/lib/python3.12/site-packages",
        "root/.local/lib/python3.11/site-packages",
        "home/someone/.local/lib/python3.11/site-packages",
        "app/deeply/nested/place/.venv/lib/python3.11/site-packages",
    ],
)
def test_image_places(image: Path, site: str) -> None:
    package = wheel_install(image / site)
    (found,) = find_image(image).installations
    assert (found.package, found.kind, found.shadowed) == (package, Kind.WHEEL, False)
    assert found.image_root == image


def test_image_debian_order(image: Path) -> None:
    shared = wheel_install(image / "usr/lib/python3/dist-packages")
    (image / "usr/lib/python3.12").mkdir()
    local = wheel_install(image / "usr/local/lib/python3.12/dist-packages")
    found = find_image(image)
    assert [(item.package, item.shadowed) for item in found.installations] == [(local, False), (shared, True)]


def test_image_source_tree(image: Path) -> None:
    package = checkout(image / "sgl-workspace/aiter", git="branch")
    (found,) = find_image(image).installations
    assert (found.package, found.kind, found.commit) == (package, Kind.CHECKOUT, COMMIT)


@pytest.mark.parametrize("named", ["", "opt/venv", "opt/venv/lib/python3.12/site-packages"])
def test_absolute_paths_of_an_image_stay_inside_it(image: Path, tmp_path: Path, named: str) -> None:
    # The host has another clone at the very place that the image's .pth names.
    host = tmp_path / "app/aiter"
    checkout(host, version="6.6.6")
    inside = checkout(image / str(host).lstrip("/"), version="0.1.20")
    site = image / "opt/venv/lib/python3.12/site-packages"
    site.mkdir(parents=True)
    editable_path_line(site, host)
    (found,) = find_image(image, Path("/", named)).installations
    assert (found.package, found.kind, found.image_root) == (inside, Kind.EDITABLE, image)


def test_absolute_links_and_finders_of_an_image_stay_inside_it(image: Path, tmp_path: Path) -> None:
    host = checkout(tmp_path / "srv/one")
    inside = checkout(image / str(host.parent).lstrip("/"))
    first = image / "opt/a/lib/python3.12/site-packages"
    first.mkdir(parents=True)
    (first / "aiter").symlink_to(host)
    second = image / "opt/b/lib/python3.12/site-packages"
    editable_finder(second, host)
    for site in (first, second):
        assert [item.package for item in find_image(image, Path("/", site.relative_to(image))).installations] == [
            inside
        ]


def test_image_without_aiter_is_searched_and_empty(image: Path) -> None:
    unrelated_package(image / "opt/venv/lib/python3.12/site-packages")
    found = find_image(image)
    assert found.installations == ()
    assert found.doubts == ()
    assert image in found.searched
    assert [item.path.parent.name for item in found.skipped] == ["site-packages"]


def test_image_link_cycles_end(image: Path) -> None:
    (image / "usr/self").symlink_to("/usr")
    (image / "opt/loop").symlink_to("/opt/loop")
    (image / "usr/lib/python3.12").mkdir()
    (image / "usr/lib/python3.12/dist-packages").symlink_to("/usr/lib/python3.12/dist-packages")
    assert find_image(image).installations == ()


def test_kernel_file_systems_of_an_image_are_not_entered(image: Path) -> None:
    wheel_install(image / "proc/1/cwd/opt/lib/python3.12/site-packages")
    assert find_image(image).installations == ()


def test_folder_of_environments(tmp_path: Path) -> None:
    packages = [wheel_install(fake_venv(tmp_path / name)) for name in ("a", "b")]
    assert [item.package for item in find_path(tmp_path).installations] == packages


def test_walk_that_is_given_up_leaves_a_doubt(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).mkdir()
    (skipped,) = walk(tmp_path, View(), most_folders=10).skipped
    assert skipped.doubt
    assert "10 folders" in skipped.reason
    assert walk(tmp_path, View(), most_folders=30).skipped == ()
    assert survey.MOST_FOLDERS > 1000


def test_nothing_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_path(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["file", "dangling", "loop"])
def test_what_is_no_folder_is_a_doubt(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "amd_aiter-0.1.20-py3-none-any.whl"
    if kind == "file":
        path.touch()
    else:
        path.symlink_to(path if kind == "loop" else tmp_path / "gone")
    found = find_path(path)
    assert found.installations == ()
    assert [item.path for item in found.doubts] == [path]


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel_install(fake_venv(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert [item.package for item in find_path(Path(os.curdir)).installations] == [package]


def test_folder_inside_the_package_is_no_clean_bill(tmp_path: Path) -> None:
    package = wheel_install(tmp_path)
    found = find_path(package / "ops/triton/gluon")
    assert found.installations == ()
    assert str(package) in found.doubts[0].reason


def test_image_environment_knows_more_than_the_tree_alone(image: Path) -> None:
    site = image / "opt/venv/lib/python3.12/site-packages"
    wheel = wheel_install(site)
    clone = checkout(image / "app/aiter")
    write(site / "clone.pth", "/app/aiter\n")
    found = find_image(image)
    assert [(item.package, item.kind, item.shadowed) for item in found.installations] == [
        (wheel, Kind.WHEEL, False),
        (clone, Kind.EDITABLE, True),
    ]


def test_links_called_aiter_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/aiter").symlink_to(tmp_path)
    (tmp_path / "b").mkdir()
    package = amd_package(tmp_path / "real", name="source")
    (tmp_path / "b/aiter").symlink_to(package)
    assert [item.package for item in find_path(tmp_path).installations] == [package]


def test_an_image_below_a_folder_is_named_and_not_judged(image: Path, tmp_path: Path) -> None:
    host = checkout(tmp_path / "clones/one")
    checkout(image / str(host.parent).lstrip("/"))
    editable_path_line(fake_venv(image / "opt/venv"), host.parent)
    found = find_path(tmp_path)
    assert [(item.package, item.kind, item.image_root) for item in found.installations] == [(host, Kind.CHECKOUT, None)]
    assert [(item.path, f"--root {image}" in item.reason) for item in found.doubts] == [(image, True)]


def test_a_folder_like_an_image_without_python_packages_leaves_no_doubt(image: Path, tmp_path: Path) -> None:
    # A compiler's sysroot has the top level of a root file system.
    package = wheel_install(tmp_path / "env/lib/python3.12/site-packages")
    found = find_path(tmp_path)
    assert ([item.package for item in found.installations], found.doubts) == ([package], ())


def test_stores_of_installers_are_not_environments(image: Path) -> None:
    wheel_install(image / "root/.cache/uv/archive-v0/x")
    wheel_install(image / "opt/conda/pkgs/amd-aiter-0.1.20/lib/python3.12/site-packages")
    (image / "opt/conda/conda-meta").mkdir()
    assert find_image(image).installations == ()


def test_weights_are_no_path_files(tmp_path: Path) -> None:
    write(tmp_path / "model.pth", b"PK\x03\x04\0import x\n/\xff\n" * 99)
    package = wheel_install(fake_venv(tmp_path / "venv"))
    assert [item.package for item in find_path(tmp_path).installations] == [package]


# --root


@pytest.mark.parametrize("named", ["", "opt/venv", "opt/venv/lib/python3.12/site-packages"])
def test_a_path_in_an_image_is_refused_with_the_words_to_use(image: Path, named: str) -> None:
    wheel_install(image / "opt/venv/lib/python3.12/site-packages")
    with pytest.raises(UsageError, match="root file system of an image") as caught:
        find_path(image / named)
    words = f"--root {image}" + (f" --path /{named}" if named else "")
    assert words in caught.value.remedy
    assert f"--root / --path {image / named}" in caught.value.remedy


def test_a_link_into_an_image_is_refused_too(image: Path, tmp_path: Path) -> None:
    wheel_install(image / "opt/venv/lib/python3.12/site-packages")
    (tmp_path / "link").symlink_to(image / "opt/venv")
    with pytest.raises(UsageError) as caught:
        find_path(tmp_path / "link")
    assert f"--root {image} --path /opt/venv" in caught.value.remedy


def test_this_machine_can_be_named_as_one(image: Path) -> None:
    package = wheel_install(image / "opt/venv/lib/python3.12/site-packages")
    (found,) = find_image(Path("/"), image / "opt/venv").installations
    assert (found.package, found.image_root) == (package, None)


def test_a_path_is_as_the_image_sees_it_or_as_this_machine_does(image: Path, tmp_path: Path) -> None:
    package = wheel_install(image / "opt/venv/lib/python3.12/site-packages")
    for path in (Path("/opt/venv"), image / "opt/venv"):
        assert [i.package for i in find_image(image, path).installations] == [package]
    wheel_install(image / str(image / "opt/venv").lstrip("/"))
    with pytest.raises(UsageError, match="is there for both"):
        find_image(image, image / "opt/venv")
    (tmp_path / "beside").mkdir()
    for path in (Path("opt/venv"), Path("/nowhere"), tmp_path / "beside"):
        with pytest.raises(UsageError):
            find_image(image, path)


def test_a_layer_is_an_image_that_lacks_most(tmp_path: Path) -> None:
    # Only `app`; what its path file names stands on this machine, and in another layer.
    host = tmp_path / "clones/one"
    checkout(host)
    site = tmp_path / "layer/app/venv/lib/python3.12/site-packages"
    site.mkdir(parents=True)
    editable_path_line(site, host)
    found = find_image(tmp_path / "layer")
    assert found.installations == ()
    assert [item.path.name for item in found.doubts][:1] == ["__editable__.amd_aiter-0.1.20.pth"]
    package = wheel_install(tmp_path / "layer/lib/python3.12/site-packages")
    assert [i.package for i in find_image(tmp_path / "layer").installations] == [package]


def test_linked_metadata_is_read_inside_the_image(image: Path, tmp_path: Path) -> None:
    site = image / "opt/venv/lib/python3.12/site-packages"
    package = wheel_install(site)
    info = site / "amd_aiter-0.1.20.dist-info"
    info.rename(image / "var/info")
    write(tmp_path / "var/info/METADATA", "Name: amd-aiter\nVersion: 6.6.6\n")
    info.symlink_to("/var/info")
    (found,) = find_image(image).installations
    assert (found.package, found.version, found.dist_info) == (package, "0.1.20", info)
    info.unlink()
    info.symlink_to("../" * 30 + str(tmp_path / "var/info").lstrip("/"))
    found_too = find_image(image)
    assert [(i.version, i.dist_info) for i in found_too.installations] == [("0.1.20", None)]
    assert [(item.path, item.reason) for item in found_too.doubts] == [(info, f"a link leads out of {image}")]


@pytest.mark.parametrize("named", ["/out", "/out/venv"])
def test_a_path_that_leads_out_of_the_image_is_a_doubt(image: Path, tmp_path: Path, named: str) -> None:
    wheel_install(fake_venv(tmp_path / "venv"))
    (image / "out").symlink_to("../" * 30 + str(tmp_path).lstrip("/"))
    found = find_image(image, Path(named))
    assert found.installations == ()
    assert [item.reason for item in found.doubts] == [f"a link leads out of {image}"]


def test_a_link_to_the_root_of_the_image_is_all_of_it(image: Path) -> None:
    package = wheel_install(image / "srv/venv/lib/python3.12/site-packages")
    (image / "all").symlink_to("/")
    assert [i.package for i in find_image(image, Path("/all")).installations] == [package]


@pytest.mark.parametrize("home", ["/usr/bin", "/opt/gone/bin"])
def test_the_base_of_an_environment_is_the_images(image: Path, home: str) -> None:
    fake_venv(image / "opt/venv", python="3.12", home=Path(home))
    package = wheel_install(image / "usr/lib/python3.12/site-packages")
    found = find_image(image, Path("/opt/venv")).installations
    assert [i.package for i in found] == ([package] if home == "/usr/bin" else [])


@pytest.mark.parametrize("target", ["/gone", "../" * 30 + "tmp"])
def test_a_linked_site_folder_that_leads_nowhere_is_a_doubt(image: Path, target: str) -> None:
    site = image / "opt/venv/lib/python3.12/site-packages"
    site.parent.mkdir(parents=True)
    site.symlink_to(target)
    for found in (find_image(image), find_image(image, Path("/opt/venv"))):
        assert site in [item.path for item in found.doubts]


def test_an_archive_with_a_long_table_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = fake_venv(tmp_path)
    with zipfile.ZipFile(site / "all.zip", "w") as archive:
        for number in range(200):
            archive.writestr(f"aiter/ops/m{number}.py", "")
    write(site / "x.pth", "all.zip\n")
    monkeypatch.setattr(search, "_MOST_AT_ONCE", 100)
    (doubt,) = find_path(tmp_path).doubts
    assert doubt.path == site / "all.zip"
    assert "asks for more than 100 bytes" in doubt.reason
