"""Device shares, on made-up machines."""

import os
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml
import pytest

from sweep.errors import InputError, SweepError
from sweep.training import devices
from sweep.training.contract import Device
from sweep.training.devices import Gpu, available_cores, claim, parse_devices, visible

TWO = [Gpu(index=index, name="made-up") for index in range(2)]
UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


def test_cpu_is_one_share() -> None:
    assert parse_devices("cpu", gpus=TWO) == [Device()]


def test_without_a_gpu_every_core_is_a_share() -> None:
    assert parse_devices(None, gpus=[], cores=3) == [Device()] * 3


def test_by_default_all_gpus_are_used() -> None:
    assert [str(device) for device in parse_devices(None, gpus=TWO)] == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(("text", "indices"), [("0", [0]), ("1,0", [1, 0]), (" 0 , 1 ", [0, 1])])
def test_gpus_are_named_by_number(text: str, indices: list[int]) -> None:
    assert [device.index for device in parse_devices(text, gpus=TWO)] == indices


def test_shares_of_a_gpu_divide_its_memory() -> None:
    shares = parse_devices("0,1", per_gpu=4, gpus=TWO)
    assert [share.index for share in shares] == [0] * 4 + [1] * 4
    assert {share.memory_fraction for share in shares} == {0.25}


@pytest.mark.parametrize(
    ("text", "per_gpu", "message"),
    [
        ("2", 1, "there is no GPU 2; here: cpu, 0, 1"),
        ("0,7", 1, "there is no GPU 7"),
        ("gpu", 1, "write cpu or GPU numbers"),
        ("", 1, "write cpu or GPU numbers"),
        ("0,", 1, "write cpu or GPU numbers"),
        ("-1", 1, "write cpu or GPU numbers"),
        ("cuda:0", 1, "write cpu or GPU numbers"),
        ("²", 1, "write cpu or GPU numbers"),
        ("0,0", 1, "use --per-gpu"),
        ("0", 0, "--per-gpu is 0"),
    ],
)
def test_what_is_not_there_is_refused(text: str, per_gpu: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_devices(text, per_gpu=per_gpu, gpus=TWO)


@pytest.mark.parametrize(
    ("variable", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("2,0", [2, 0]),
        ("-1", []),
        ("1,9,0", [1]),
        ("GPU-cc33", [2]),
        ("GPU-a", []),  # two begin so
        ("GPU-aa,GPU-ab", [0, 1]),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_does(
    variable: str | None, indices: list[int]
) -> None:
    assert visible(variable, UUIDS) == indices


@dataclass(kw_only=True)
class Driver:
    """A made-up driver with three GPUs; pynvml's errors are its own."""

    broken: int | None = None
    """Code of the error that it answers everything with."""
    lost: dict[int, int] = field(default_factory=dict)
    """The same for some of its GPUs."""

    def init(self) -> None:
        if self.broken is not None:
            raise pynvml.NVMLError(self.broken)

    def handle(self, index: int) -> int:
        if index in self.lost:
            raise pynvml.NVMLError(self.lost[index])
        return index


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made_up = Driver()
    for name, answer in {
        "nvmlInit": made_up.init,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 3,
        "nvmlDeviceGetHandleByIndex": made_up.handle,
        "nvmlDeviceGetUUID": lambda handle: UUIDS[handle],
        "nvmlDeviceGetName": lambda handle: f"made-up {handle}",
    }.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made_up


def test_the_driver_is_asked(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    assert devices.visible_gpus() == [
        Gpu(index=0, name="made-up 2"),
        Gpu(index=1, name="made-up 1"),
    ]


@pytest.mark.parametrize(
    "code", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_without_a_driver_there_is_no_gpu(code: int, driver: Driver) -> None:
    driver.broken = code
    assert devices.visible_gpus() == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "NVML/RM version mismatch"),
        (pynvml.NVML_ERROR_GPU_IS_LOST, "GPU is lost"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
        (pynvml.NVML_ERROR_NOT_READY, "code 27"),  # the library that knows its text is not there
    ],
)
def test_a_broken_driver_is_no_reason_to_train_on_the_cpu_unless_told_so(
    code: int, message: str, driver: Driver
) -> None:
    driver.broken = code
    with pytest.raises(SweepError, match=rf"driver does not work: .*{message}.*--device cpu"):
        parse_devices(None)
    assert parse_devices("cpu") == [Device()]


def test_a_lost_gpu_is_named_unless_others_are_chosen(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.lost[1] = pynvml.NVML_ERROR_GPU_IS_LOST
    with pytest.raises(SweepError, match=r"^GPU 1 \(GPU is lost\) does not work; reboot"):
        parse_devices("0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(SweepError, match=r"^GPU 1 \(GPU is lost\)"):
        parse_devices(None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc33,GPU-aa11")
    assert [gpu.name for gpu in devices.visible_gpus()] == ["made-up 2", "made-up 0"]


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("7", r"no such GPU; here: 0 \(GPU-aa11\), 1 \(GPU is lost\), 2 \(GPU-cc33\)"),
        ("GPU-ab22", "no such GPU"),  # the lost one does not say that this is its name
        ("NoDevFiles", "no such GPU"),
        ("-1,0", "no such GPU"),
        ("MIG-5c6d", "MIG.* are not supported; name whole GPUs"),
        ("0,MIG-5c6d", "MIG"),
    ],
)
def test_cuda_visible_devices_must_name_what_is_there(
    variable: str, message: str, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.lost[1] = pynvml.NVML_ERROR_GPU_IS_LOST
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    with pytest.raises(InputError, match=f"CUDA_VISIBLE_DEVICES='{variable}': .*{message}"):
        parse_devices(None)


def test_a_gpu_is_asked_for_where_no_driver_is(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.broken = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match="no such GPU; here: none; name"):
        parse_devices(None)


@pytest.mark.parametrize("variable", ["", "-1", " "])
def test_all_gpus_can_be_hidden(
    variable: str, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert devices.visible_gpus() == []


@pytest.mark.parametrize(("quota", "limit"), [("150000 100000", 1), ("max 100000", None)])
def test_a_container_s_quota_limits_the_cores(
    quota: str, limit: int | None, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpu.max"  # type: ignore[operator]
    file.write_text(quota)
    monkeypatch.setattr(devices, "_QUOTA", file)
    assert available_cores() == (limit or len(os.sched_getaffinity(0)))


@pytest.fixture
def torch_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """Stand in for torch: what set_per_process_memory_fraction was called with."""
    calls: list[tuple[float, int]] = []
    cuda = SimpleNamespace(set_per_process_memory_fraction=lambda *call: calls.append(call))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    return calls


def test_a_training_sees_its_own_gpu_only(
    torch_calls: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that what the test sets is undone
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert claim(Device(kind="cuda", index=3, memory_fraction=0.5)) == "cuda:0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert torch_calls == [(0.5, 0)]


def test_numbers_are_places_in_an_inherited_list(
    torch_calls: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-cc33, 5")
    claim(Device(kind="cuda", index=1))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert os.environ["CUDA_DEVICE_ORDER"] == ""
    assert torch_calls == []


def test_a_training_on_the_cpu_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert claim(Device()) == "cpu"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
