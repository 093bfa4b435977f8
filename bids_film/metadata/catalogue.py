"""Fields that a recipe can name without defining them, each with what labs are known to write."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from bids_film.domain.errors import MetadataError
from bids_film.metadata.fields import CategoricalField, ContinuousField, Field

_YES_NO = {
    **dict.fromkeys(("yes", "y", "t", "1", "on"), "true"),
    **dict.fromkeys(("no", "n", "f", "0", "off"), "false"),
}

_SCANNER: tuple[Field, ...] = (
    ContinuousField(
        name="MagneticFieldStrength",
        keys=("Field Strength", "B0", "Tesla", "ScannerFieldStrength", "StaticFieldStrength"),
        unit="T",
        plausible=(0.02, 25.0),
        scale="log",
        nominal=(0.064, 0.2, 0.35, 0.55, 1.0, 1.5, 3.0, 4.7, 7.0, 9.4, 10.5, 11.7),
        description="Nominal strength of the static magnetic field",
    ),
    CategoricalField(
        name="Manufacturer",
        keys=("Vendor", "ScannerManufacturer", "ScannerVendor"),
        levels=(
            "Siemens", "Philips", "GE", "Canon", "United Imaging", "Hitachi", "Bruker", "Agilent",
            "Hyperfine", "Esaote",
        ),
        aliases={
            "Siemens*": "Siemens",
            "Philips*": "Philips",
            "GE Medical*": "GE",
            "GE Healthcare*": "GE",
            "GEMS": "GE",
            "G.E.*": "GE",
            "General Electric*": "GE",
            "Canon*": "Canon",
            "Toshiba*": "Canon",
            "United Imaging*": "United Imaging",
            "UIH*": "United Imaging",
            "Hitachi*": "Hitachi",
            "Fujifilm*": "Hitachi",
            "Bruker*": "Bruker",
            "Agilent*": "Agilent",
            "Varian*": "Agilent",
            "Hyperfine*": "Hyperfine",
            "Esaote*": "Esaote",
        },
        description="Maker of the scanner; a maker that was taken over counts as its successor",
    ),
    CategoricalField(
        name="ManufacturersModelName",
        keys=("ManufacturerModelName", "ScannerModel", "Scanner"),
        description="Model of the scanner",
    ),
    CategoricalField(
        name="InstitutionName",
        keys=("Institution", "Hospital"),
        description="Where the scan was acquired",
    ),
    CategoricalField(
        name="ReceiveCoilName", keys=("ReceiveCoil", "Coil"), description="Receive coil"
    ),
)  # fmt: skip

_SEQUENCE: tuple[Field, ...] = (
    ContinuousField(
        name="EchoTime",
        keys=("TE",),
        unit="s",
        plausible=(0.00001, 1.0),
        scale="log",
        description="Time from excitation to the echo",
    ),
    ContinuousField(
        name="RepetitionTime",
        keys=("TR", "RepetitionTimeExcitation"),
        unit="s",
        plausible=(0.001, 60.0),
        scale="log",
        description="Time between two excitations",
    ),
    ContinuousField(
        name="InversionTime",
        keys=("TI",),
        unit="s",
        plausible=(0.001, 10.0),
        scale="log",
        description="Time from inversion to excitation",
    ),
    ContinuousField(
        name="FlipAngle",
        unit="degree",
        plausible=(0.1, 200.0),
        description="Angle by which the magnetisation is turned",
    ),
    ContinuousField(
        name="EchoTrainLength",
        keys=("ETL", "TurboFactor"),
        plausible=(1.0, 1000.0),
        scale="log",
        description="Echoes after one excitation",
    ),
    ContinuousField(
        name="PixelBandwidth",
        keys=("BandwidthPerPixel",),
        unit="Hz",
        plausible=(5.0, 20_000.0),
        scale="log",
        description="Bandwidth of one pixel",
    ),
    CategoricalField(
        name="MRAcquisitionType",
        levels=("2D", "3D"),
        aliases={"2": "2D", "3": "3D"},
        description="Slices or one volume",
    ),
    CategoricalField(
        name="Modality",
        levels=("MR", "CT", "PT"),
        aliases={
            "MRI": "MR", "Magnetic Resonance*": "MR", "Computed Tomography*": "CT",
            "Computerized Tomography*": "CT", "PET": "PT", "Positron Emission*": "PT",
        },
        description="Kind of scanner, as DICOM calls it",
    ),
    CategoricalField(
        name="ContrastBolusIngredient",
        keys=("ContrastAgent",),
        levels=("GADOLINIUM", "IODINE", "BARIUM", "CARBON DIOXIDE", "XENON"),
        aliases={
            "Gd": "GADOLINIUM", "Gado*": "GADOLINIUM", "Iod*": "IODINE", "CO2": "CARBON DIOXIDE",
        },
        description="Active part of the contrast agent",
    ),
    CategoricalField(name="BodyPartExamined", keys=("BodyPart",), description="Part of the body"),
    CategoricalField(
        name="SkullStripped",
        keys=("BrainExtracted",),
        levels=("true", "false"),
        aliases=_YES_NO,
        description="Whether all but the brain was removed from the image",
    ),
)  # fmt: skip

_GEOMETRY: tuple[Field, ...] = tuple(
    ContinuousField(
        name=name, keys=keys, unit=unit, plausible=plausible, scale="log", description=description
    )
    for name, keys, unit, plausible, description in (
        ("SliceThickness", (), "mm", (0.01, 50.0), "Thickness of the slices that were acquired"),
        ("SpacingBetweenSlices", (), "mm", (0.01, 50.0), "Distance between the slices' middles"),
        (
            "InPlaneVoxelSize",
            (),
            "mm",
            (0.001, 20.0),
            "Geometric mean of the two smallest voxel sizes",
        ),
        ("SliceSpacing", (), "mm", (0.001, 50.0), "Largest voxel size"),
        ("VoxelSizeX", (), "mm", (0.001, 50.0), "Voxel size from left to right"),
        ("VoxelSizeY", (), "mm", (0.001, 50.0), "Voxel size from back to front"),
        ("VoxelSizeZ", (), "mm", (0.001, 50.0), "Voxel size from below to above"),
        ("VoxelVolume", (), "mm^3", (1e-9, 20_000.0), "Volume of one voxel"),
    )
)

_PERSON: tuple[Field, ...] = (
    ContinuousField(
        name="age",
        keys=("PatientAge", "AgeAtScan", "ScanAge", "AgeAtVisit"),
        unit="year",
        plausible=(0.0, 120.0),
        description="Age at the scan",
    ),
    CategoricalField(
        name="sex",
        keys=("PatientSex", "gender"),
        levels=("F", "M", "O"),
        aliases={
            **dict.fromkeys(("female", "fem", "woman", "girl", "w", "weiblich", "femme"), "F"),
            **dict.fromkeys(("male", "man", "boy", "männlich", "homme"), "M"),
            **dict.fromkeys(("other", "intersex", "divers"), "O"),
        },
        description="Sex of the participant: F, M or O (other)",
    ),
    CategoricalField(
        name="site",
        keys=("SiteID", "SiteName", "Center", "Centre", "AcquisitionSite"),
        description="Where the scan was acquired, as the study calls it",
    ),
    CategoricalField(name="diagnosis", keys=("dx",), description="Diagnosis of the participant"),
    CategoricalField(
        name="tumor_type",
        keys=("tumour_type", "TumorHistology"),
        aliases={
            "pituitary tumor": "pituitary",
            "pituitary tumour": "pituitary",
            "pituitary adenoma": "pituitary",
        },
        description="Type of the tumour",
    ),
    CategoricalField(
        name="plane",
        keys=("SlicePlane", "Orientation"),
        aliases={
            **dict.fromkeys(("ax", "tra", "trans", "transverse", "transversal"), "axial"),
            "cor": "coronal",
            "sag": "sagittal",
        },
        description="Plane of the slices",
    ),
)

_NAME: tuple[Field, ...] = (
    CategoricalField(
        name="suffix",
        aliases={"T2star": "T2starw"},
        description="Suffix of the file name: which contrast it is",
    ),
    CategoricalField(name="datatype", description="Folder of the file, such as anat"),
    CategoricalField(name="acq", description="Entity acq: a variant of the acquisition"),
    CategoricalField(name="ce", description="Entity ce: the contrast agent"),
    CategoricalField(name="rec", description="Entity rec: the reconstruction"),
    CategoricalField(
        name="mt", levels=("on", "off"), description="Entity mt: magnetisation transfer"
    ),
    CategoricalField(name="part", description="Entity part: magnitude or phase"),
)

CATALOGUE: Mapping[str, Field] = MappingProxyType(
    {item.name: item for item in (*_SCANNER, *_SEQUENCE, *_GEOMETRY, *_PERSON, *_NAME)}
)
"""Known fields by name."""


def known_field(name: str) -> Field:
    """Look up a field of the catalogue.

    Raises
    ------
    MetadataError
        Where it has no field of that name; the nearest one is named.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    by_lower = {known.casefold(): known for known in CATALOGUE}
    near = difflib.get_close_matches(name.strip().casefold(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]!r}?" if near else f"known: {', '.join(CATALOGUE)}"
    raise MetadataError(
        f"the catalogue of metadata fields has no {name!r}",
        hint=f"{hint} A field of your own is a table with name, kind, levels or plausible range.",
    )
