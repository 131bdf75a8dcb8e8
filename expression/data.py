"""The data that every script works on, whatever files they came from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from expression.preprocessing import Preprocessing

MIN_PATIENTS = 5  # of each class, to train on: one for every fold of a 5-fold cross-validation


def against_the_rest(classes: Sequence[str]) -> Sequence[str]:
    """Return the classes that are held against the rest: each, but of two the positive one only, as
    that of the other is the same comparison turned round."""
    return classes if len(classes) > 2 else classes[1:]


@dataclass(frozen=True)
class ExpressionData:
    """Checked and aligned expression data of two classes of patients or more.

    X_train, X_test : patients x genes, floats, C-contiguous
        Array intensities on the scale of the published arrays, or counts per million, or
        log-ratios, as `preprocessing.scale` says; indexed by patient, columns by accession.
        Patients and genes are in sorted order, the same genes in the same order in both. Without
        a test set, X_test and y_test have no rows.
    y_train, y_test : ordered categorical of the classes, indexed like X
        Of two classes the positive one is the higher: ``y.cat.codes`` is 1 for it, 0 for the other.
    subtypes, batches, groups : text by patient of `X_all`, None where nothing is known
        What the sample sheet says besides; the names are those of its columns. Rows of one group
        are arrays of one person.
    """

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: pd.Series
    y_test: pd.Series
    descriptions: pd.Series  # of the files, by accession
    gene_names: pd.Series  # short and unique, by accession (`short_gene_names`)
    subtypes: pd.Series | None = None
    batches: pd.Series | None = None  # the laboratory, hospital, run, ... of each array
    groups: pd.Series | None = None
    X_new: pd.DataFrame | None = None  # patients whose class is not known, like X_train
    informative_genes: pd.Series | None = None  # the class the literature found each higher in
    caveats: str = ""  # what a reader of any result must know about these data
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    origin: tuple[str, ...] = ()  # sentences on what was read, and what was left out

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in their order; of two, (negative, positive)."""
        return tuple(self.y_train.cat.categories)

    @property
    def X_all(self) -> pd.DataFrame:
        """Training then test patients."""
        return pd.concat([self.X_train, self.X_test])

    @property
    def y_all(self) -> pd.Series:
        return pd.concat([self.y_train, self.y_test])

    @property
    def subgroups(self) -> pd.Series:
        """The subtype of every patient of `X_all`, or the class where no subtype is known."""
        return self.y_all.astype(str) if self.subtypes is None else self.subtypes

    @property
    def people(self) -> pd.Series | None:
        """The person of every array of `X_all`, with the class where a person has several of them;
        None where every array is of a person of its own."""
        if self.groups is None:
            return None
        classes = self.y_all.astype(str)
        has_several = classes.groupby(self.groups).transform("nunique") > 1
        return self.groups.where(~has_several, self.groups + " (" + classes + ")")

    @property
    def patients(self) -> pd.DataFrame:
        """The set, class and, where known, batch of every patient: of every array, or person."""
        table = pd.DataFrame({"set": self.sample_set, "class": self.y_all})
        if self.batches is not None:
            table["batch"] = self.batches
        if self.people is None:
            return table
        people = table.groupby(self.people.rename("patient"), sort=False)
        patients = people.first()
        if self.batches is not None:
            patients["batch"] = people["batch"].agg(lambda names: " + ".join(sorted(set(names))))
        return patients

    @property
    def sample_set(self) -> pd.Series:
        """'train' or 'test' for every patient of `X_all`."""
        sets = ["train"] * len(self.X_train) + ["test"] * len(self.X_test)
        return pd.Series(sets, index=self.y_all.index, name="set")

    @property
    def checksum(self) -> str:
        """SHA-256 of values, identifiers, classes and all else that is known of patients and genes:
        independent of file format and order."""
        digest = hashlib.sha256()
        for X, y in ((self.X_train, self.y_train), (self.X_test, self.y_test)):
            digest.update(np.ascontiguousarray(X))
            digest.update(repr((list(X.index), list(X.columns), list(y))).encode())
        for known in (self.subtypes, self.informative_genes):
            digest.update(repr(None if known is None else known.to_dict()).encode())
        if self.X_new is not None:
            digest.update(np.ascontiguousarray(self.X_new))
            digest.update(repr(list(self.X_new.index)).encode())
        for kind, known in (("batches", self.batches), ("groups", self.groups)):
            if known is not None:
                digest.update(repr((kind, known.to_dict())).encode())
        return digest.hexdigest()
