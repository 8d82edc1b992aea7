"""Write `profiles/vocabulary/standard.txt`: the everyday words of the standard's own terms.

From the meanings of the context groups of PS3.16 and the attribute names of PS3.6, as pydicom carries them. A word counts
only where it stands in lower case inside a meaning, so that eponyms and place names stay out; words that are also names of
people or places stay out too (`NAMES`). What the registry needs of those is in the hand-written lists.
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
    abbey adam adams aden alan albert alder alex alice allen amber amy andrew ann anna april arch archer ash august austin
    bailey baker ball banks barber barley barn barnes barr basil bass bay beach bean bear beard beck bell bells benign
    bent berry best bill bird birch bishop black blade bland block blood bloom blue bolt bond bone bones book booth
    boot bow bowl box boy brad bradford brain brand brandy bread bridge bridges bright brook brooks broom brown bruce
    brush buck bull bullock burger burn burns bush butcher butler butt butter button cain cane cannon carbon card carpenter
    carr carter case cash castle chamber chambers chance chandler chase child church clark clarke clay clerk cliff close
    coates cock coffin cole coles collar collier comb con conn cook cooke cooper cope copper cork corn cotton couch court
    cow cox craft crane cream cross crow crown cruise cummings curry curtain curtis cutter cutting dale dam dame dane
    daniel darling dart dawn day days dean deer dell dennis derby dew dexter diamond dick dike dish dodge dole don doris dorset
    dove downs drake draper drew drum drummer duck duke dunn dust dyer eagle earl east ebony edge eden edwards elder ellis
    ember emery emma english eve even ewe eye fagan fair falcon fall fallow farmer farrow fay feather fen fern ferry field fields
    finch finger firth fish fisher flag flagg flint flood flora flower flowers floyd fog folk ford forest forge foster fowl fowler
    fox frances francis frank franks freeman french frost fry fuller gable gail gale gall game garden gardener gardner garland
    gates gay gene george gill gilt ginger glass glen glover gold golden good goose gore gould grace grain grange grant grass grave
    graves gray grayson green greer grey griffin groom ground grove guest gull gunn guy hale hall ham hammer hancock hand hands hardy
    hare harp harper hart hatch hatter hawk hawkins hay hayes hazel head heard heart heath heather helm hem henry herb heron herring
    hill hills hind hodge holder holland hollow holly holmes holt home honey hood hook hooper hope horn horne horner horse house howe
    hull hunt hunter hurst hyde iris ivory ivy jack jackson jade jake james jane jasmine jay jean jenny jerry jet jewel jewell job
    joe john johnson jolly jones jordan joy joyce judge june keen keeper kent kerr key kid kidd kim king kings kirk kite kitchen
    knight knott knox lacey lad lake lamb lambert lance lancet land lane lark laurel law lawn lawrence lawson leach leaf lee leech leek
    leigh leonard lewis lilly lily lime linden lindsay link little lloyd lock locke lodge long lord love low lowe lucas luck lucy luke
    lund lynch lynn mace mack madge maiden major manning march marcus margin marie mark marks marlow marsh marshall martin mary mason
    massey masters mat maud may mayer mead meadow mellow mercer mercy meredith mew miles mill miller mills milner mist moat mole
    mond monk moody moon moore moran more morgan morley morris moss mould mount mullet murray nail nash neal neil nelson neville newman
    newton nicholson nick nightingale noble nolan norman north norton nunn nurse nutt oak oakley oliver olive olsen orchard otter
    owen oxford pace page paine palm palmer park parker parr parrot parson parsons paul peacock pearl pearson peck peel pegg
    penny pepper percy perry peter phoebe pickering pickle pierce pigeon pike pine piper pitt plant plum polish pond poole pope
    porter post potter potts pound powell power pratt precious price priest prince prior proctor purple quail queen quick quill quinn
    rabbit raleigh ram ramp ramsay randall ray read reader reading reed rees reeve reeves regan reid rex rhodes rice rich richard
    rick ridge rider riding ripley ritter river rivers roach rob robert robin robinson rock rod roger rolls roman rook rory rose ross
    rouse rowe rowley roy royal ruby rush russell russet ruth ryder rye sadler sage salmon salt samson sand sandal sanders sandra
    sands sandy savage sawyer saxon scott scrub seal sear seller sellers senior sexton shade shah sharp sharpe shaw shell
    shepherd sheriff shields ship shore short silver simmons simon singer singh skinner slack slade slater slaughter sloan
    small smart smith snow sole spark sparks sparrow spears spence spencer spicer spring springer squire stacey stack stag stage
    stamp star stark starling steed steel steele stella stem sterling stern steward stock stocks stone stones storey stork storm
    stout strange street strong stubbs styles sue summer summers sumner surrey sutton swan swann swift sword sykes symons tabor tailor
    tait talbot tanner tate taylor teal temple tess thatcher thomas thorn thorne thorpe tiger tim todd tom toner tony torch tower
    townsend tracey trapper travers travis tree trench trent trinity trip troy tucker tuft turner twig tyler usher vale valentine
    van vance vaughan vaux vera vernon vicar vick vine viola violet virgin wade waite wale wales walker wall wallace waller walls walsh
    walters wand ward warden ware warner warren wash waters watson watt watts weaver webb webster weeks weir welch well wells welsh
    west wheat wheel wheeler whistler white wick wife wild wilde wilder wildman will wills wilson winch wind wing winner winter winters
    wise wolf wolfe wood woods wool worm worth wren wright yates yew york young
    aberdeen bath bedford belfast birmingham bolton boston brighton bristol bromley buckingham bury cambridge canterbury cardiff
    carlisle chelsea chester colchester coventry croydon derby devon dublin dundee durham ealing edinburgh essex exeter glasgow
    gloucester hampshire hartford hereford hull kent kingston lancaster leeds leicester lincoln liverpool london luton manchester
    newcastle newport norfolk northampton norwich nottingham oxford paris perth plymouth portsmouth preston reading rochester
    sheffield shrewsbury somerset southampton stafford stockport suffolk sunderland surrey sussex swansea swindon truro wakefield
    warwick wigan winchester windsor worcester york
    begin belt berlin blocker breed cage cancel carina carmine carrier celestine colors cousin cover crystal
    dark dye fan garnet given harris heater look loop maine merchant merino numbers parent person pink poland
    poor rank render roof self session son stump tan tarrant treat trotter vital wax
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
    # The first word is a capital in any meaning; it counts if it is also seen in lower case elsewhere, or if the
    # rest of the meaning shows that it is an ordinary word of anatomy.
    return words | ({first.lower()} if first.lower().endswith(_ENDINGS) else set())


_ENDINGS = (
    "al", "ar", "ary", "ic", "ous", "oid", "itis", "osis", "oma", "ectomy", "otomy", "graphy", "gram", "ation", "tion",
    "sion", "ment", "ity", "ness", "ing", "ed", "ior", "um", "us", "is", "ent", "ant", "ive", "ine", "ide", "ium", "ism",
)


if __name__ == "__main__":
    main()
