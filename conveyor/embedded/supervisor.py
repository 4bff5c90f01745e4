"""Starts units in the order of their needs, keeps them running, and stops them in reverse.

It knows nothing of Conveyor: which units there are is the list that it is given. All of it happens in one thread that
looks at each unit in turn, so a unit is never started and stopped at the same time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conveyor.embedded.processes import EmbeddedError
from conveyor.embedded.unit import Unit, become_ready, last_words

PAUSE = 0.1  # seconds between two looks at everything
FIRST_BACK_OFF = 0.5
LONGEST_BACK_OFF = 30.0
#: Seconds for which a unit must be in trouble until that is said.
TROUBLED_FOR = 5.0
STEADY_AFTER = 20.0  # a unit that ran for so many seconds is started again as promptly as the first time


class StopRequested(Exception):
    """Somebody asked to stop while not everything was ready yet."""


@dataclass
class Life:
    """What is remembered about one unit that has to keep running."""

    began: float
    ready: bool = False
    due: float | None = None  # when it is started again; None while it runs
    pause: float = FIRST_BACK_OFF
    troubled: float | None = None  # since when it does not do its work
    told: bool = False  # people were told so

    def died(self, now: float) -> float:
        """Note a death and return the seconds until the next start: doubled each time, short after a steady run."""
        if now - self.began >= STEADY_AFTER:
            self.pause = FIRST_BACK_OFF
        chosen, self.pause = self.pause, min(self.pause * 2, LONGEST_BACK_OFF)
        self.due = now + chosen
        return chosen

    def born(self, now: float) -> None:
        self.began, self.due, self.ready = now, None, False
        self.troubled, self.told = None, False


class Supervisor:
    """All units of a stack. ``say`` is told what people should know, ``changed`` is called when a pid has changed.

    ``show`` is told what is being waited for, again and again, and nothing once it is over. ``trouble`` says of a
    unit's name why that unit, which is ready, does not do its work, or None.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        say: Callable[[str], None],
        changed: Callable[[], None] = lambda: None,
        show: Callable[[str], None] = lambda _words: None,
        trouble: Callable[[str], str | None] = lambda _name: None,
    ) -> None:
        """Raises ValueError where a unit needs one that is not in the list before it."""
        for number, unit in enumerate(units):
            missing = set(unit.needs) - {each.name for each in units[:number]}
            if missing:
                raise ValueError(f"{unit.name} needs {sorted(missing)}, which do not stand before it")
        self.units = units
        self._say = say
        self._changed = changed
        self._show = show
        self._trouble = trouble
        self._lives: dict[str, Life] = {}
        self._requests = 0

    def stop(self) -> None:
        """Ask for the end of all; asked for a second time, nothing is waited for. Safe in a signal handler."""
        self._requests += 1

    @property
    def stopping(self) -> bool:
        return self._requests > 0

    def start(self) -> None:
        """Start each unit once what it needs is ready; return when all are ready.

        Raises EmbeddedError for the first unit that fails and StopRequested after ``stop()``; nothing is left running.
        """
        try:
            while not all(unit.name in self._lives and self._lives[unit.name].ready for unit in self.units):
                for unit in self.units:
                    if self.stopping:
                        raise StopRequested
                    self._bring_up(unit)
                self._show_what_starts()
                time.sleep(PAUSE)
            self._show("")
        except BaseException:
            self.shut_down()
            raise

    def _show_what_starts(self) -> None:
        waiting = [name for name, life in self._lives.items() if not life.ready]
        self._show(f"  waiting for {', '.join(waiting)} ..." if waiting else "")

    def _bring_up(self, unit: Unit) -> None:
        now, life = time.monotonic(), self._lives.get(unit.name)
        if life is None:
            if all(name in self._lives and self._lives[name].ready for name in unit.needs):
                self._lives[unit.name] = Life(now)
                unit.spawn()
                self._changed()
        elif not life.ready:
            if become_ready(unit, life.began):
                life.ready = True
                verb = "done" if unit.finishes else "ready"
                self._show("")
                self._say(f"  {unit.name}: {verb} after {now - life.began:.1f} s")
        elif not unit.finishes and not unit.alive():
            raise EmbeddedError(last_words(unit))

    def watch(self) -> None:
        """Keep every unit running until ``stop()``; no death ends this."""
        serving = [unit for unit in self.units if not unit.finishes]
        while not self.stopping:
            for unit in serving:
                self._keep_alive(unit, self._lives[unit.name])
            time.sleep(PAUSE)

    def _keep_alive(self, unit: Unit, life: Life) -> None:
        now = time.monotonic()
        if life.due is not None:
            if now >= life.due:
                self._start_again(unit, life)
        elif not unit.alive():
            how = unit.ending()
            unit.kill()
            self._say(f"{unit.name} {how} (log: {unit.log}). Starting it again in {life.died(now):g} s.")
        elif not life.ready and unit.healthy():
            life.ready = True
            self._say(f"{unit.name} is ready again after {now - life.began:.1f} s.")
        elif life.ready:
            self._tell_of_trouble(unit, life, now)

    def _tell_of_trouble(self, unit: Unit, life: Life, now: float) -> None:
        why = self._trouble(unit.name)
        if why is None:
            if life.told:
                self._say(f"{unit.name} works again.")
            life.troubled, life.told = None, False
            return
        life.troubled = life.troubled or now
        if not life.told and now - life.troubled >= TROUBLED_FOR:
            self._say(f"{unit.name} is there and does not work: {why} (log: {unit.log}).")
            life.told = True

    def _start_again(self, unit: Unit, life: Life) -> None:
        life.born(time.monotonic())
        try:
            unit.spawn()
        except (EmbeddedError, OSError) as error:
            self._say(f"{unit.name} cannot be started: {error}. Trying again in {life.died(time.monotonic()):g} s.")
        self._changed()

    def shut_down(self) -> None:
        """Stop everything that runs: a unit is asked once all that need it have ended, and killed if it will not end.

        Also tidies up after units that ended by themselves.
        """
        asked: dict[str, float] = {}
        running = [unit for unit in reversed(self.units) if unit.name in self._lives]
        while running:
            for unit in list(running):
                if not unit.alive():
                    unit.kill()
                    running.remove(unit)
                elif unit.name not in asked:
                    if not any(unit.name in self._all_needs(other) for other in running):
                        asked[unit.name] = time.monotonic()
                        unit.ask_to_stop()
                elif self._requests > 1 or time.monotonic() - asked[unit.name] > unit.stop_patience:
                    self._show("")
                    self._say(f"{unit.name} did not end when asked, and was killed")
                    unit.kill()
            self._show(f"  waiting for {', '.join(unit.name for unit in running)} ..." if running else "")
            time.sleep(PAUSE / 2)

    def _all_needs(self, unit: Unit) -> set[str]:
        """The names of all units that this one needs, directly or through another."""
        direct = [each for each in self.units if each.name in unit.needs]
        return {each.name for each in direct}.union(*(self._all_needs(each) for each in direct))
