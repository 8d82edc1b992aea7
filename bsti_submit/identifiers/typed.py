"""What identifies people in text that somebody typed: names without a title, places, ages, spaced-out numbers.

For typed text alone: its writer is there to put it in other words, so a doubt costs a line typed again. A name in small
letters that is nobody's given name here passes; the search for the patient's own words is what finds that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bsti_submit.identifiers.forms import NOT_A_NAME, NOT_A_PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Given names common in the United Kingdom. Left out are those that are also words of clinical text or of English:
# grace, mark, rose, frank (haemoptysis), ted (stockings), peg (tube), ed, marie, louis, thomas (splint), joseph.
_GIVEN_NAMES = frozenset(
    """
    aaron abdul abdullah abigail adam adele adrian agnes ahmed aidan aisha alan alastair albert alejandro aleksandra alex
    alexander alexandra alexei alfie alfred ali alice alicia alina alison alistair amanda amelia amina amir amy anastasia
    andrea andrei andrew andrzej aneta angela angus anil anita anna annabel anne annette anthony antonio anwar archie arthur
    asha ashley asif audrey ayesha barbara barry beata beatrice becky bernard bernadette beryl beth bethany betty beverley
    bilal brenda brian bridget bronwyn bruce bryan callum calum cameron camilla carl carla carlos carmen caroline catherine
    catriona cecilia cedric charlie charles charlotte chloe chris christina christine christopher clare claire claude
    clive colin colleen connor conor craig cynthia damian daniel daniela danielle danuta darren dave david davina dawid debbie
    deborah deirdre delia denis denise dennis derek desmond diana diane dilys dominic donald donna doreen doris dorota dorothy
    doug douglas dylan eamon edith edmund edna eduardo edward edwin eileen elaine eleanor elena elizabeth ella ellen ellie elsie
    emily emma emmanuel enid erica ernest esther ethan ethel eugene eunice evan evelyn ewa ewan farah faisal fatima felicity
    fernando fiona florence frances francesca francis francisco fraser fred freda frederick freya gareth gary gavin gemma
    geoff geoffrey george georgia georgina gerald geraldine gerard ghulam gillian gladys glenda gloria glynis gordon
    greg gregory greta gwen gwyneth hannah hans harold harpreet harriet harris harry hassan hayley helen helena henryk herbert
    hilary hilda horace howard hugh hugo humphrey hussain ian ibrahim imogen imran ingrid irene isaac isabel isabella isla
    isobel ivan jacek jack jackie jacob jacqueline jaime jake james jamie jan jane janet janice jasmine jason javier jayne jean
    jeffrey jennifer jenny jeremy jerome jerry jessica jessie jim jimmy joan joanna joanne jodie joe joel johan john johnny
    jon jonathan jorge jose josephine josh joshua joyce juan judith judy julia julian julie juliet justin justyna kamal karen
    karl katarzyna kate katherine kathleen kathryn kathy katie keith kelly kenneth kerry kevin khadija kieran kim kirsten
    kirsty krzysztof kumar kyle lakshmi laura lauren laurence lawrence leah leanne leila leo leon leonard lesley leslie lewis
    liam lilian lily linda lindsay lisa liz lorna lorraine louise lucas lucia lucy luis luke lydia lynda lynn lynne mabel
    maciej madeleine magdalena maggie mahmood maisie malcolm malgorzata mandy manjit manuel marcin marcus margaret maria mariam
    marian marianne marilyn marion marjorie marlene martha martin marvin mary maryam mateusz matilda matthew maureen maurice
    mavis megan mehmet melanie melissa mercedes michael michal michelle miguel mike mildred millicent mohamed mohammad
    mohammed moira mollie molly monica morag moses muhammad muriel myra nadia nancy naomi natalia natalie natasha nathan
    nathaniel neil neville niamh nicholas nicola nicole nigel nikita nikolai nina noel nora noreen norma norman oliver olivia
    olga omar oscar osman owen pablo pamela patel patricia patrick paul paula pauline pawel pedro penelope peter petra philip
    phillip phoebe phyllis piotr poppy priscilla priya rachael rachel rafal rajesh ralph rashid raymond rebecca reginald
    rhiannon rhys ricardo richard rita robert roberta roberto roderick rodney roland ronald rory rosalind rosemary
    rosie rowena roxanne roy rukhsana rupert russell ruth ryan sabrina sadie saeed salma salman sally samantha sameer
    samuel sandra sanjay sara sarah scott sean sebastian shane shannon sharon shaun sheila shirley shona sian sidney
    siobhan simon sinead sofia sonia sophia sophie stacey stanley stefan stella stephanie stephen steve steven stewart
    stuart sunil sunita susan susanna suzanne sylvia syed tahir tamara tanya tariq terence teresa terry theresa thelma
    theodore tim timothy tina toby tom tomasz tommy tony tracey tracy trevor trudy ursula usman valerie vanessa vera
    vernon veronica vicky victoria vijay vikram vincent violeta vivien vivienne walter wanda warren wayne wendy wesley
    wilfred william winifred winston wojciech yasmin yolanda yousef yusuf yvette yvonne zachary zahra zainab zara zbigniew
    zoe zofia zubair
    smith jones taylor williams davies evans johnson roberts robinson thompson hughes edwards khan hussein
    begum kaur singh sharma shah ahmad
    """.split()
)
# Words that stand with a capital in clinical text and name nobody.
_NOT_NAMES = (
    NOT_A_NAME
    | NOT_A_PLACE
    | frozenset(
        """
        abnormal active advanced after again aki allergic allergy also altered anaemia annual antibiotics apical asbestos
        asthma asymptomatic atypical background bacterial basal bilateral biopsy bleeding blunt both breathless bronchial
        bronchiectasis bronchitis cancer carcinoma catheter cavity cell central changes check chemotherapy child childhood
        chronic clinical clinically clot collapse colitis confirmed consolidation contact coronavirus copd cough covid
        crackles cystic decline deep dementia deterioration deteriorating diabetes diabetic diagnosis diarrhoea disease
        distress drain dry dyspnoea effusion elderly elective embolism embolus emphysema empyema endotracheal end
        evaluation exacerbation exclude exertional failure fall fatigue febrile fever fibrosis fibrotic fluid follow
        fracture frank function further generalised granulomatous ground haemoptysis heart high hilar history
        hodgkin hypertension hypoxia hypoxic immunosuppressed improving increased increasing infection infective
        inflammatory influenza inhalation injury insertion interstitial intubated ischaemic kidney known line liver loss
        lower lung lungs lymphoma malignancy mass massive medical metastases metastatic middle mild moderate multiple mycoplasma
        mycobacterium myeloma myocardial nasogastric nausea negative neutropenia neutropenic new night no nodule nodules
        obesity obese obstructive occupational oedema old oncology ongoing opacities opacity operative organising oxygen
        pain palpitations patient pericardial pericarditis persistent planned pleural pleuritic plus pneumocystis pneumonia
        pneumonitis pneumothorax portacath positive possible post preop preoperative presumed previous primary
        probable procedure productive progression progressive pulmonary query raised rapid recent recurrent reduced
        renal respiratory right rule sarcoidosis screening secondary sepsis septic severe shortness sick since
        smoker sputum staging started staphylococcus streptococcus status steroid steroids still stroke subacute
        sudden suspected suspicion sweats swab swollen symptom symptomatic symptoms systemic tachycardia tachycardic
        tachypnoea tamponade temperature thrombosis tracheostomy transplant trauma treated treatment tube tuberculosis
        tumour type unchanged unexplained unilateral unknown unresolved unwell upper urgent vaccine vaccinated
        valve vascular vasculitis venous ventilated ventilation viral vomiting weakness weight well wells wheeze
        widespread wheezy work worse worsening arrhythmia arthritis associated atrial aureus body bone bowel
        critical danlos distal ehlers enteral fibrillation foreign flu gravis hyperplasia kaposi legionella leukaemia
        lupus marfan marrow multiforme myasthenia out ratio sarcoma sjogren staph superior swine syndrome trial
        varicella vena vein ventilator wegener zoster care team emergency department palliative critical
        """.split()
    )
)
_WORD = r"[A-Z][a-z]+(?:['’-]?[A-Z][a-z]+)*|[A-Z]['’][A-Z][a-z]+"
_NAME = rf"(?:{_WORD})(?:['’]s)?(?![A-Za-z])"
_SINGLE = re.compile(r"[^\W\d_]+")
_PAIR = re.compile(rf"(?<![\w'’-])(?=({_NAME}) +({_NAME}))")
_SPOKEN_OF = re.compile(
    r"\b(?i:daughter|son|wife|husband|mother|father|mum|dad|sister|brother|carer|neighbour|nephew|niece|aunt|uncle"
    r"|grandson|granddaughter|grandmother|grandfather|partner|friend|colleague|named?|called|asked|told|informed|contacted"
    r"|d/w|c/o|via)(?i: by| with| to| from| of)? +"
    rf"(?P<name>{_NAME})"
    rf"|\b(?i:"
    r"(?:seen|reviewed|asked|requested|advised|accepted|referred|reported|signed|examined|assessed|called|informed|sent"
    r"|booked|arranged|consented|scanned|performed|verified|accompanied|brought in|cared for) by"
    r"|(?:discuss|discussed|seen|reviewed|liaised|lives?|living|agreed|accompanied|spoke|spoken) with"
    r"|(?:spoke|spoken|speak|talked|known) to) +"
    rf"(?P<agent>{_NAME})"
)
_LIVING = re.compile(
    r"\b(?i:lives?|lived|living|resid(?:es?|ent|ing)|works?|worked|working|employed|inmate|prisoner|student|pupil|teacher"
    r"|transfer(?:red)?|admitted|admission|repatriated|discharged|attended|attends|seen|scanned|imaged|referred|clinic"
    r"|surgery|hospital|home|address)(?i: \w+)? (?i:in|at|to|from|for|near|of) +(?i:the +)?"
    rf"(?P<name>{_NAME})"
)
_COMING = re.compile(rf"\b(?i:from|at) +(?i:the +)?(?P<name>{_NAME})")
# Where somebody travelled is clinical, and a whole country names nobody.
_COUNTRIES = frozenset(
    """
    africa america asia australia austria bangladesh belgium brazil bulgaria china croatia cyprus denmark egypt england
    ethiopia europe france germany ghana greece hungary india iran iraq ireland italy japan kenya lombardy malta
    morocco nepal netherlands nigeria norway pakistan philippines poland portugal romania russia scotland somalia spain
    sudan sweden switzerland syria thailand turkey uganda ukraine usa vietnam wales wuhan zimbabwe
    """.split()
)
_STREET = re.compile(
    r"\b\d{1,4}[a-z]?,? +(?:[a-z'’-]+ +){1,3}(?:street|st|road|rd|avenue|ave|lane|ln|drive|close|court|crescent"
    r"|terrace|gardens|grove|square|mews|way|place|walk|row)\b",
    re.IGNORECASE,
)
_SPELT_EMAIL = re.compile(
    r"\b[\w.+-]+ *(?:\(at\)|\[at\]|\{at\}| at ) *[\w-]+ *(?:\.|\(dot\)|\[dot\]| dot ) *\w{2,}", re.IGNORECASE
)
_TENS = r"(?:one|two|three|four|five|six|seven|eight|nine)"
_SPELT_AGE = re.compile(
    r"(?<!\w)[MF][ /]?(?:9\d|1[0-2]\d)(?![\d.%])|(?<![\w.])(?:9\d|1[0-2]\d) ?y\b"
    rf"|\bninety(?:[ -]{_TENS})?[ -]?(?:y|yo|yrs?|years?)\b|\baged? +(?:of +)?(?:ninety|a hundred|one hundred)"
    r"|\b(?:in|into) (?:his|her|their|the)? ?(?:ninet(?:y|ies)|90s|90's)|\b(?:a|one) hundred(?: and \w+)? years? old",
    re.IGNORECASE,
)
_HOLIDAY = re.compile(
    r"\b(?:christmas|xmas|boxing day|new year'?s?|easter|good friday|bank holiday|halloween|valentine'?s|diwali"
    r"|hanukkah|eid(?: al-\w+)?|bonfire night)\b",
    re.IGNORECASE,
)
_INSURANCE = re.compile(
    r"(?<![A-Z])[A-CEGHJ-PR-TW-Z]{2}[ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D](?![A-Z])", re.IGNORECASE
)
_LABELLED = re.compile(
    r"\b(?:accession|acc|ref|reference|study id|case no|case id|episode|ris|pacs|passport|licence|id)[ .:#=]*(?:no|num|number|id)?[ .:#=]*(?=[a-z/-]*\d)[a-z]{0,4}[/-]?\d[\da-z/-]{2,}",
    re.IGNORECASE,
)
_SPACED = re.compile(r"(?<![\d.])\d+(?:[ -]\d+)+(?![\d.])")
_LONGEST_MEASUREMENTS = 8


_MEDICAL_ENDING = re.compile(
    r"(?:itis|osis|oses|[a-z]{3}oma|aemia|emia|pathy|logy|ectomy|scopy|graphy|mab|tion|tious|genic|ology)\Z"
)


def _is_name(word: str) -> bool:
    plain = re.sub(r"['’]s$", "", word).casefold()
    return not (plain in _NOT_NAMES or plain.rstrip("s") in _NOT_NAMES or _MEDICAL_ENDING.search(plain))


def names(text: str) -> Iterator[tuple[int, int]]:
    """Find given names in any case, two words with capitals, and who is spoken of: ``d/w Sharma``, ``daughter Mary``."""
    for word in _SINGLE.finditer(text):
        if word[0].casefold() in _GIVEN_NAMES and (len(word[0]) > 3 or word[0][0].isupper()):
            yield word.span()
    for pair in _PAIR.finditer(text):
        if all(_is_name(word) for word in pair.groups()):
            yield pair.start(1), pair.end(2)
    for found in _SPOKEN_OF.finditer(text):
        if _is_name(found["name"] or found["agent"]):
            yield found.span()


def whereabouts(text: str) -> Iterator[tuple[int, int]]:
    """Find where somebody lives, works or is treated, where that is named, and streets."""
    for found in _LIVING.finditer(text):
        if _is_name(found["name"]):
            yield found.span()
    for found in _COMING.finditer(text):
        if _is_name(found["name"]) and found["name"].casefold() not in _COUNTRIES:
            yield found.span()
    for found in _STREET.finditer(text):
        yield found.span()


def _all(regex: re.Pattern[str]) -> Callable[[str], Iterator[tuple[int, int]]]:
    def find(text: str) -> Iterator[tuple[int, int]]:
        for match in regex.finditer(text):
            yield match.span()

    return find


def spaced_numbers(text: str) -> Iterator[tuple[int, int]]:
    """Find more digits with spaces or hyphens between them than a few measurements have."""
    for found in _SPACED.finditer(text):
        if sum(character.isdigit() for character in found[0]) > _LONGEST_MEASUREMENTS:
            yield found.span()


emails = _all(_SPELT_EMAIL)
ages = _all(_SPELT_AGE)
holidays = _all(_HOLIDAY)
insurance_numbers = _all(_INSURANCE)
labelled_numbers = _all(_LABELLED)
