"""The digester"""
# -- the digester ----------------------------------------------------------------------


class CountingPool:
    """Measures at once, and counts."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before_answer: Callable[[], None] = lambda: None

    def submit(self, name: str, /, **arguments: Any) -> Future[Any]:
        self.calls.append(arguments["path"])
        future: Future[Any] = Future()
        try:
            answer = vars(_measure(Path(arguments["path"])))
            self.before_answer()
            future.set_result(answer)
        except DigestError as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """There is nothing to close."""


def test_what_has_not_changed_is_not_measured_again(make: Maker) -> None:
    path, pool = make(), CountingPool()
    digester = Digester(pool)
    first = digester.measure(path)
    (path / "table.lock").write_bytes(b"opened for writing")
    assert digester.submit(path).done()
    assert digester.measure(path) is first
    assert len(pool.calls) == 1
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putcell("TIME", 0, 9.0)
    assert digester.measure(path).content_digest != first.content_digest
    digester.forget(path)
    digester.measure(path)
    assert len(pool.calls) == 3


def test_what_changed_while_it_was_measured_is_measured_again(make: Maker) -> None:
    path, pool = make(), CountingPool()
    pool.before_answer = (path / "table.f0").touch
    digester = Digester(pool)
    digester.measure(path)
    digester.measure(path)
    assert len(pool.calls) == 2


def test_a_selection_is_measured_again_each_time(make: Maker, tmp_path: Path) -> None:
    path, pool = make(), CountingPool()
    with casacore.table(str(path), ack=False) as table:
        table.query("TIME>2", name=str(tmp_path / "selected.tab")).close()
    digester = Digester(pool)
    first = digester.measure(tmp_path / "selected.tab")
    with casacore.table(str(path), readonly=False, ack=False) as table:
        table.putcell("NAME", 4, "changed")
    assert stamp(tmp_path / "selected.tab")
    assert digester.measure(tmp_path / "selected.tab").content_digest != first.content_digest


def test_errors_are_raised_and_not_remembered(tmp_path: Path) -> None:
    digester = Digester(CountingPool())
    with pytest.raises(DigestError):
        digester.measure(tmp_path / "a")
    (tmp_path / "a").write_text("x")
    assert digester.measure(tmp_path / "a").kind == "File"


def test_workers_measure_as_this_process_does(make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    paths = [make(), _write_fits(tmp_path / "a.fits"), tmp_path / "plain"]
    paths[2].write_text("x")
    digester = open_digester()
    try:
        futures = [digester.submit(path) for path in paths]
        assert [future.result() for future in futures] == [_measure(path) for path in paths]
        with pytest.raises(DigestError, match="There is no file or table"):
            digester.measure(tmp_path / "nothing")
    finally:
        digester.close()
    with pytest.raises((WorkerDied, RuntimeError)):
        digester.measure(tmp_path)
