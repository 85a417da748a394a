"""How much an experiment may spend.

It is printed on every table, so that a small run is never mistaken for a full one.
"""

from pydantic import BaseModel, ConfigDict, Field

from clc.errors import ProfileError

_STEPS_FOR_A_GPU = 10_000


class Budget(BaseModel):
    """What is the same for all variants of an experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    steps: int = Field(ge=1, description="of training, for every variant")
    batch: int = Field(ge=1, description="crops a step, of 256×256 unless a table says otherwise")
    training_photos: int = Field(ge=1, description="at most so many")
    reference_photos: int = Field(ge=1, description="at most so many, of a general data set")
    collections: int | None = Field(default=None, ge=1, description="at most so many, the first; None for all")
    collection_photos: int = Field(ge=1, description="reference photos at most, of a collection")
    test_photos: int = Field(ge=1, description="at most so many, of each data set")
    per_photo: int = Field(ge=1, description="patches a reference photo")
    entries: int = Field(ge=5, description="of a general dictionary")
    sizes: tuple[int, ...] = Field(min_length=2, description="of the dictionaries whose size is the question")
    qualities: tuple[float, ...] = Field(min_length=2)
    seeds: tuple[int, ...] = Field(min_length=1, description="a training run for each")

    @property
    def narrow(self) -> bool:
        """Whether networks that are meant for a GPU are narrowed, and crops halved."""
        return self.steps < _STEPS_FOR_A_GPU

    def spent(self, networks: str, references: bool) -> str:
        """In one line, for the head of a table of these networks; references: whether they take any."""
        taken = (
            f"at most {self.training_photos} training, {self.reference_photos} reference ({self.collection_photos} of "
            f"a collection) and {self.test_photos} test photos, "
            f"{self.entries} entries (where their number is the question, {', '.join(map(str, self.sizes))})"
        )
        alone = f"at most {self.training_photos} training and {self.test_photos} test photos, no references"
        return (
            f"Budget {self.name}: {networks}, {self.steps} steps of {self.batch} crops, "
            f"{len(self.seeds)} seed(s), {taken if references else alone}, "
            f"qualities {', '.join(f'{quality:g}' for quality in self.qualities)}"
        )


BUDGETS = {
    # Shows that everything works; its numbers say nothing about the method.
    "smoke": Budget(
        name="smoke",
        steps=20,
        batch=2,
        training_photos=8,
        reference_photos=8,
        collections=2,
        collection_photos=4,
        test_photos=2,
        per_photo=16,
        entries=32,
        sizes=(16, 32, 64),
        qualities=(20, 50, 80),
        seeds=(0,),
    ),
    # An hour or two on two CPU cores: large differences between variants show, absolute rates do not count.
    "short": Budget(
        name="short",
        steps=300,
        batch=4,
        training_photos=200,
        reference_photos=50,
        collections=2,
        collection_photos=8,
        test_photos=5,
        per_photo=16,
        entries=128,
        sizes=(64, 128, 256),
        qualities=(20, 50, 80),
        seeds=(0, 1),
    ),
    # Many hours on two CPU cores: smaller differences begin to show.
    "small": Budget(
        name="small",
        steps=1500,
        batch=4,
        training_photos=400,
        reference_photos=100,
        collection_photos=100,
        test_photos=24,
        per_photo=20,
        entries=500,
        sizes=(250, 500, 1000),
        qualities=(10, 30, 50, 70, 90),
        seeds=(0, 1),
    ),
    # As many photos, steps and entries as the paper has, of our smallest network. A GPU.
    "paper": Budget(
        name="paper",
        steps=300_000,
        batch=16,
        training_photos=20_745,
        reference_photos=2_650,
        collection_photos=2_650,
        test_photos=100,
        per_photo=10,
        entries=3000,
        sizes=(1000, 2000, 3000, 4000, 5000),
        qualities=(10, 30, 50, 70, 90),
        seeds=(0, 1),
    ),
}


def find_budget(name: str) -> Budget:
    """A budget by name. Raises ProfileError naming those there are."""
    if name not in BUDGETS:
        raise ProfileError(f"no budget is called {name!r}; use one of: {', '.join(BUDGETS)}")
    return BUDGETS[name]
