"""The paragraph of methods and its references, for a manuscript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_film.domain.segmentation import ModelIdentity, Segmentation
from bids_film.report.templating import plain_environment


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A work that a methods section cites."""

    key: str
    text: str
    url: str


REFERENCES = (
    Reference(
        key="Lemay et al., 2021",
        text=(
            "Lemay A, Gros C, Vincent O, Liu Y, Cohen JP, Cohen-Adad J. Benefits of linear "
            "conditioning with metadata for image segmentation. Medical Imaging with Deep Learning "
            "(MIDL), PMLR 143, 2021."
        ),
        url="https://proceedings.mlr.press/v143/lemay21a.html",
    ),
    Reference(
        key="Perez et al., 2018",
        text=(
            "Perez E, Strub F, de Vries H, Dumoulin V, Courville A. FiLM: visual reasoning with a "
            "general conditioning layer. AAAI Conference on Artificial Intelligence, 2018."
        ),
        url="https://doi.org/10.1609/aaai.v32i1.11671",
    ),
    Reference(
        key="Ronneberger et al., 2015",
        text=(
            "Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks for biomedical image "
            "segmentation. MICCAI, 2015."
        ),
        url="https://doi.org/10.1007/978-3-319-24574-4_28",
    ),
    Reference(
        key="Gorgolewski et al., 2016",
        text=(
            "Gorgolewski KJ, Auer T, Calhoun VD, et al. The brain imaging data structure, a format "
            "for organizing and describing outputs of neuroimaging experiments. Scientific Data 3, "
            "160044, 2016."
        ),
        url="https://doi.org/10.1038/sdata.2016.44",
    ),
    Reference(
        key="Gorgolewski et al., 2011",
        text=(
            "Gorgolewski K, Burns CD, Madison C, et al. Nipype: a flexible, lightweight and "
            "extensible neuroimaging data processing framework in Python. Frontiers in "
            "Neuroinformatics 5, 13, 2011."
        ),
        url="https://doi.org/10.3389/fninf.2011.00013",
    ),
    Reference(
        key="Yarkoni et al., 2019",
        text=(
            "Yarkoni T, Markiewicz CJ, de la Vega A, et al. PyBIDS: Python tools for BIDS "
            "datasets. Journal of Open Source Software 4(40), 1294, 2019."
        ),
        url="https://doi.org/10.21105/joss.01294",
    ),
    Reference(
        key="Brett et al.",
        text="Brett M, Markiewicz CJ, Hanke M, et al. NiBabel: access a cacophony of neuro-imaging "
        "file formats.",
        url="https://doi.org/10.5281/zenodo.591597",
    ),
)
_METHODS = (
    "Scans organised as a BIDS dataset (Gorgolewski et al., 2016) were segmented with bids-film "
    "{version}, model “{model.name}”, version {model.version} (SHA-256 {sha256}): a "
    "{model.dimensions}-D U-Net (Ronneberger et al., 2015){conditioning}. Each image was "
    "reoriented, resampled to the resolution of the model and normalised by robust percentiles of "
    "its intensities; probabilities were resampled to the grid of the image, on which each voxel "
    "was given its most probable structure{postprocessing}.{ensemble} The program builds on "
    "Nipype (Gorgolewski et al., 2011), PyBIDS (Yarkoni et al., 2019) and NiBabel (Brett et al.)."
)
_CONDITIONING = (
    " whose features are scaled and shifted according to the metadata of the scan by feature-wise "
    "linear modulation (Perez et al., 2018; Lemay et al., 2021). Metadata in use: {fields}; where "
    "a value was missing or not usable, a learned embedding stood for the unknown"
)
_ONLY_WITH_METADATA = ("Lemay et al., 2021", "Perez et al., 2018")


def write_methods(segmentations: Sequence[Segmentation], version: str) -> tuple[str, ...]:
    """Write the methods, one paragraph per model.

    Parameters
    ----------
    segmentations : sequence of Segmentation
    version : str
        Of this program.
    """
    models = dict.fromkeys(segmentation.model for segmentation in segmentations)
    return tuple(
        _describe(model, [item for item in segmentations if item.model == model], version)
        for model in models
    )


def choose_references(segmentations: Sequence[Segmentation]) -> tuple[Reference, ...]:
    """Choose the references that the methods of these segmentations cite."""
    conditioned = any(item.model.conditioning == "film" and item.values for item in segmentations)
    return tuple(
        reference
        for reference in REFERENCES
        if conditioned or reference.key not in _ONLY_WITH_METADATA
    )


def write_citation(segmentations: Sequence[Segmentation], version: str) -> Mapping[str, str]:
    """Write methods and references as files to take into a manuscript.

    Returns
    -------
    Mapping[str, str]
        Text by file ending: ``md``, ``html`` and ``bib``.
    """
    content = {
        "methods": write_methods(segmentations, version),
        "references": choose_references(segmentations),
        "version": version,
    }
    endings = ("md", "html", "bib")
    environment = plain_environment()
    return {
        ending: environment.get_template(f"citation.{ending}").render(content) for ending in endings
    }


def _describe(model: ModelIdentity, segmentations: Sequence[Segmentation], version: str) -> str:
    fields = [value.field for value in segmentations[0].values]
    ensembles = sorted({s.settings["ensemble"] for s in segmentations if "ensemble" in s.settings})
    conditioning = _CONDITIONING.format(fields=", ".join(fields))
    return _METHODS.format(
        version=version,
        model=model,
        sha256=model.sha256[:12],
        conditioning=conditioning if model.conditioning == "film" and fields else "",
        postprocessing=f"; {model.postprocessing}" if model.postprocessing else "",
        ensemble=f" Probabilities are the {' or the '.join(ensembles)}." if ensembles else "",
    )
