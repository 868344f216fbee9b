"""What the sweep uses of Ray beside its public interface is there, in one file, and as that file says."""

import re
import runpy
import sys
from pathlib import Path

import commands
import pytest
import ray
from ray._common.utils import get_default_ray_temp_dir, get_ray_address_file

from randwire.sweep import ray_internals
from randwire.sweep.ray_internals import SUPPORTED
from randwire.sweep.ray_variables import ALIVE, CURRENT_CLUSTER, VARIABLES, Variable

RAY = Path(ray.__file__).parent
VARIABLE = re.compile(r"\b(?:RAY|TUNE)_[A-Za-z]\w+")
SOURCES = [*(commands.ROOT / "randwire").rglob("*.py"), *(commands.ROOT / "studies").rglob("*.py")]
OTHERS = [path for path in SOURCES if path.name not in ("ray_internals.py", "ray_variables.py")]


def is_read(variable: Variable) -> bool:
    """Whether the installed Ray names the variable in the file that should read it."""
    content = (RAY / variable.read_in).read_bytes()
    quotes = ("\0", '"') if variable.read_in.endswith(".so") else ('"',)
    return any(f"{quote}{variable.name}{quote}".encode() in content for quote in quotes)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_ray_reads_each_variable_that_is_set_for_it(variable: Variable) -> None:
    assert is_read(variable)


def test_a_variable_that_ray_has_renamed_is_found() -> None:
    assert not is_read(Variable("RAY_TRAIN_HEALTH_CHECK_INTERVAL_SECONDS", "train/v2/_internal/constants.py"))
    assert not is_read(Variable("RAY_AUTH_TOKEN_FILE", "_raylet.so"))


def test_what_else_is_known_of_ray_without_importing_it() -> None:
    assert f"'{ALIVE}'" in (RAY / "core/generated/gcs_service_pb2_grpc.py").read_text()
    folder: str = get_default_ray_temp_dir()  # type: ignore[no-untyped-call]
    file: str = get_ray_address_file(None)
    assert Path(folder).parent.joinpath(*CURRENT_CLUSTER) == Path(file)


def test_no_other_file_names_a_variable_of_ray() -> None:
    """Comments, messages and Ray's files of clusters may name those of the table."""
    names = {variable.name for variable in VARIABLES}
    for path in [
        commands.ROOT / "cluster.yaml",
        *(commands.ROOT / "cluster").glob("*.yaml"),
        commands.ROOT / "cluster" / "slurm.sh",
    ]:
        assert set(VARIABLE.findall(path.read_text())) <= names, path
    for path in OTHERS:
        assert not re.search(r"[\"'](RAY|TUNE)_[A-Za-z]\w+[\"']", path.read_text()), path


def test_no_other_file_imports_private_modules_of_ray() -> None:
    for path in OTHERS:
        assert not re.search(r"\bray\.(\w+\.)*(_\w+|core\b|train\.v2\b)", path.read_text()), path


def test_another_ray_is_refused_with_the_one_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.train.v2._internal.execution.callback", None)
    with pytest.raises(ImportError, match=re.escape(f"needs {SUPPORTED}")):
        runpy.run_path(str(ray_internals.__file__))


def test_the_ray_that_is_needed_is_the_one_that_is_installed_by_the_requirements() -> None:
    (line,) = re.findall(r"^ray\S*", (commands.ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert re.sub(r"\[.*\]", "", line) == SUPPORTED
