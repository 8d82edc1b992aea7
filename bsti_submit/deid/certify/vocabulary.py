"""The ordinary words of imaging: a harvested word that is one of them says nothing by itself.

They are the words in the attribute names of PS3.6, and the defined terms and everyday words of chest imaging below.
"""

from __future__ import annotations

import re
from functools import cache

from pydicom.datadict import DicomDictionary

_EVERYDAY = frozenset(
    """
    abd abdo abdomen acquired adult all and angio angiogram angiography anterior aorta aortic apical arterial arteries
    artery axial base basal bed body bone brain breast breath breathhold cardiac chest clavicle clear clinic contrast
    coronal coronary cor covid cranial cta ctpa ctap delayed department diagnostic digital dose dual emergency end
    enhanced erect exam examination expiration expiratory feet fine first follow foot full general hand head heart
    helical hepatic high hilar hospital hrct image images imaging infirmary infusion inspiration inspiratory intensive
    kernel kidney knee large lat lateral left limb liver localiser localizer long low lower lung lungs main medical
    medium mediastinum mip mobile monitoring neck non normal oblique outpatient oral parenchyma patient pelvis phase
    plain plus portable portal post posterior pre prone protocol pulmonary radiograph radiology radiography recon
    reconstruction rib ribs right room routine sag sagittal scan scanner scout series sharp short shoulder single skull
    small smooth soft spine spiral spleen standard sternum study supine surgery surview theatre thin thorax thoracic
    tissue topogram tra trachea transverse trauma triage tube unit upper upright vein venous very view ward wide window
    with without xray suite royal trust nhs foundation university centre center city county infirmary street road
    lane avenue unit health
    anonymous archive backup case cases copy data desktop dcm dicom dicomdir documents download downloads export
    exported file files folder home image img import input local media mnt output pacs private public root sample
    scans share shared sop study studies temp test testing tmp user users volume volumes work zip
    agfa canon carestream fuji fujifilm general hitachi hologic kodak konica minolta neusoft philips samsung shimadzu
    siemens toshiba electric healthineers healthcare systems
    primary original derived secondary axial localizer average reformatted mixed contrast volume
    admitted approved asymptomatic attestation birthdate capillary classic comparator complication correct deliberately
    deterioration died differs discharged disclosure done edition embolism expires explicit extreme facts finding held
    incidental intubation kept kinds legitimate looked manifest metrics mild moderate objection only onset organisation
    outcome oxygen pending permits probable publication recipe saliva schema section severe severity standing
    surveillance symptom symptoms tests transferred under understood unseen withheld
    positive negative unknown male female suspected confirmed index prior none other indeterminate available
    """.split()
)
STOP = frozenset(
    """
    removed redacted anon anonymous anonymised anonymized deidentified identified pseudonymised none null nil unknown
    unspecified unnamed undefined name patient subject test dummy phantom demo default value string example sample
    doctor prof professor miss mister master mrs sir lady van von der den del dos das bin ibn abu mac the and for
    not applicable available operator technician radiographer radiologist physician consultant referrer
    bsti registry de-identified urn other others self same
    """.split()
)
"""Words that are never an identifier by themselves, whatever attribute holds them."""
SHORT_CODES = frozenset(
    """
    ap pa ll rl lr rt lt ax se ww wl wc kv ma ms cm mm ml hz ct cr dx mr us nm pt pr sr iv im po no in on of to at by
    is it an as or if up re st nd rd th de la le di du da el al mc dr mr ms jr sr ii id br hr bw bh ed er op ip hf fl
    ff hfs ffs po pm am te tr ti fa sl ws ok pe tb hu cp do go so we he me my us
    """.split()
)
"""Words of two letters that are codes of imaging or particles of names."""


@cache
def ordinary() -> frozenset[str]:
    """Return the ordinary words, folded."""
    names = " ".join(entry[2] for entry in DicomDictionary.values())
    return _EVERYDAY | frozenset(word for word in re.findall(r"[a-z]{3,}", names.casefold()))
