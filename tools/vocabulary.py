"""Write `profiles/vocabulary/standard.txt`: the everyday words of the standard's own terms.

From the meanings of the context groups of PS3.16 and the attribute names of PS3.6, as pydicom has them.
A word counts only where it stands in lower case inside a meaning, so that eponyms and place names stay out;
words that are also names of people or places stay out too (`NAMES`, `also-names.txt`). What the registry needs
of those is in the hand-written lists.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.datadict import DicomDictionary
from pydicom.sr._concepts_dict import concepts

SCHEMES = ("DCM", "SCT", "RADLEX", "LN", "NCIt", "UMLS")
ANIMALS = frozenset((7478, 7479, 7480, 7481, 7482, 7483, 7484, 7485, 7486))
"""Context groups of species and breeds."""
NAMES = frozenset(
    """
    ethyl karl omar addison baker barrett caldwell chi chin clement crane cushing dunne ewing fu gleason gross hampton
    hickman judet kern kit lam macklin mallory max morison ng paget parkinson light lin petit pool rao stack swyer towne deep
    abbey aberdeen adam adams aden alan albert alder alex alice allen amber amy andrew ann anna april
    arch archer ash august austin bailey baker ball banks barber barley barn barnes barr basil bass bath
    bay beach bean bear beard beck bedford begin belfast bell bells belt benign bent berlin berry best
    bill birch bird birmingham bishop black blade bland block blocker blood bloom blue bolt bolton bond
    bone bones book boot booth boston bow bowl box boy brad bradford brain brand brandy bread breed
    bridge bridges bright brighton bristol bromley brook brooks broom brown bruce brush buck buckingham
    bull bullock burger burn burns bury bush butcher butler butt butter button cage cain cambridge
    cancel cane cannon canterbury carbon card cardiff carina carlisle carmine carpenter carr carrier
    carter case cash castle celestine chamber chambers chance chandler chase chelsea chester child
    church clark clarke clay clerk cliff close coates cock coffin colchester cole coles collar collier
    colors comb con conn cook cooke cooper cope copper cork corn cotton couch court cousin coventry
    cover cow cox craft crane cream cross crow crown croydon cruise crystal cummings curry curtain
    curtis cutter cutting dale dam dame dane daniel dark darling dart dawn day days dean deer dell
    dennis derby devon dew dexter diamond dick dike dish dodge dole don doris dorset dove downs drake
    draper drew drum drummer dublin duck duke dundee dunn durham dust dye dyer eagle ealing earl east
    ebony eden edge edinburgh edwards elder ellis ember emery emma english essex eve even ewe exeter eye
    fagan fair falcon fall fallow fan farmer farrow fay feather fen fern ferry field fields finch finger
    firth fish fisher flag flagg flint flood flora flower flowers floyd fog folk ford forest forge
    foster fowl fowler fox frances francis frank franks freeman french frost fry fuller gable gail gale
    gall game garden gardener gardner garland garnet gates gay gene george gill gilt ginger given
    glasgow glass glen gloucester glover gold golden good goose gore gould grace grain grange grant
    grass grave graves gray grayson green greer grey griffin groom ground grove guest gull gunn guy hale
    hall ham hammer hampshire hancock hand hands hardy hare harp harper harris hart hartford hatch
    hatter hawk hawkins hay hayes hazel head heard heart heater heath heather helm hem henry herb
    hereford heron herring hill hills hind hodge holder holland hollow holly holmes holt home honey hood
    hook hooper hope horn horne horner horse house howe hull hunt hunter hurst hyde iris ivory ivy jack
    jackson jade jake james jane jasmine jay jean jenny jerry jet jewel jewell job joe john johnson
    jolly jones jordan joy joyce judge june keen keeper kent kerr key kid kidd kim king kings kingston
    kirk kitchen kite knight knott knox lacey lad lake lamb lambert lancaster lance lancet land lane
    lark laurel law lawn lawrence lawson leach leaf lee leech leeds leek leicester leigh leonard lewis
    lilly lily lime lincoln linden lindsay link little liverpool lloyd lock locke lodge london long look
    loop lord love low lowe lucas luck lucy luke lund luton lynch lynn mace mack madge maiden maine
    major manchester manning march marcus margin marie mark marks marlow marsh marshall martin mary
    mason massey masters mat maud may mayer mead meadow mellow mercer merchant mercy meredith merino mew
    miles mill miller mills milner mist moat mole mond monk moody moon moore moran more morgan morley
    morris moss mould mount mullet murray nail nash neal neil nelson neville newcastle newman newport
    newton nicholson nick nightingale noble nolan norfolk norman north northampton norton norwich
    nottingham numbers nunn nurse nutt oak oakley olive oliver olsen orchard otter owen oxford pace page
    paine palm palmer parent paris park parker parr parrot parson parsons paul peacock pearl pearson
    peck peel pegg penny pepper percy perry person perth peter phoebe pickering pickle pierce pigeon
    pike pine pink piper pitt plant plum plymouth poland polish pond poole poor pope porter portsmouth
    post potter potts pound powell power pratt precious preston price priest prince prior proctor purple
    quail queen quick quill quinn rabbit raleigh ram ramp ramsay randall rank ray read reader reading
    reed rees reeve reeves regan reid render rex rhodes rice rich richard rick rider ridge riding ripley
    ritter river rivers roach rob robert robin robinson rochester rock rod roger rolls roman roof rook
    rory rose ross rouse rowe rowley roy royal ruby rush russell russet ruth ryder rye sadler sage
    salmon salt samson sand sandal sanders sandra sands sandy savage sawyer saxon scott scrub seal sear
    self seller sellers senior session sexton shade shah sharp sharpe shaw sheffield shell shepherd
    sheriff shields ship shore short shrewsbury silver simmons simon singer singh skinner slack slade
    slater slaughter sloan small smart smith snow sole somerset son southampton spark sparks sparrow
    spears spence spencer spicer spring springer squire stacey stack stafford stag stage stamp star
    stark starling steed steel steele stella stem sterling stern steward stock stockport stocks stone
    stones storey stork storm stout strange street strong stubbs stump styles sue suffolk summer summers
    sumner sunderland surrey sussex sutton swan swann swansea swift swindon sword sykes symons tabor
    tailor tait talbot tan tanner tarrant tate taylor teal temple tess thatcher thomas thorn thorne
    thorpe tiger tim todd tom toner tony torch tower townsend tracey trapper travers travis treat tree
    trench trent trinity trip trotter troy truro tucker tuft turner twig tyler usher vale valentine van
    vance vaughan vaux vera vernon vicar vick vine viola violet virgin vital wade waite wakefield wale
    wales walker wall wallace waller walls walsh walters wand ward warden ware warner warren warwick
    wash waters watson watt watts wax weaver webb webster weeks weir welch well wells welsh west wheat
    wheel wheeler whistler white wick wife wigan wild wilde wilder wildman will wills wilson winch
    winchester wind windsor wing winner winter winters wise wolf wolfe wood woods wool worcester worm
    worth wren wright yates yew york young
    """.split()
)
SHORTEST = 3


def main() -> None:
    """Write the list."""
    found: set[str] = set()
    for scheme in SCHEMES:
        for codes in concepts.get(scheme, {}).values():
            for meaning, groups in codes.values():
                if ANIMALS.isdisjoint(groups):
                    found |= _everyday(meaning)
    for entry in DicomDictionary.values():
        found |= {word.lower() for word in re.findall(r"[A-Z][a-z]{2,}", entry[2]) if entry[3] != "Retired"}
    folder = Path(__file__).resolve().parent.parent / "profiles" / "vocabulary"
    also_names = {line.lstrip("~") for line in (folder / "also-names.txt").read_text("utf-8").split("\n")}
    words = sorted(word for word in found - NAMES - also_names if len(word) >= SHORTEST)
    path = folder / "standard.txt"
    path.write_text("\n".join(words) + "\n", "utf-8", newline="\n")


def _everyday(meaning: str) -> set[str]:
    first, *rest = re.findall(r"[A-Za-z]+", meaning) or [""]
    words = {word for word in rest if word.islower()}
    # The first word is a capital in any meaning; it counts if it is seen in lower case elsewhere, or if the
    # rest of the meaning shows that it is an ordinary word of anatomy.
    return words | ({first.lower()} if first.lower().endswith(_ENDINGS) else set())


_ENDINGS = (
    "al",
    "ar",
    "ary",
    "ic",
    "ous",
    "oid",
    "itis",
    "osis",
    "oma",
    "ectomy",
    "otomy",
    "graphy",
    "gram",
    "ation",
    "tion",
    "sion",
    "ment",
    "ity",
    "ness",
    "ing",
    "ed",
    "ior",
    "um",
    "us",
    "is",
    "ent",
    "ant",
    "ive",
    "ine",
    "ide",
    "ium",
    "ism",
)


if __name__ == "__main__":
    main()
