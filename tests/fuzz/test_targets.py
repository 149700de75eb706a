"""The fuzzers' functions hold on whole files, on what was found, and on a few mutations."""

from __future__ import annotations

import base64
import random
import zlib

import pytest

from tests.fuzz.targets import TARGETS, seeds

SEEDS = seeds()
# A footer whose only part has 86,815,733,369 rows: pyarrow asks for hundreds of gigabytes.
_CLAIMS_ROWS = (
    b"c-obe&2G~`5XZ-kvjmGnTCvtz^1+8-6_I|TB7`he<D|3^DXk-+s@&3GIY=oDNlQ4v4e=0t2p)k4;K&6DapJ<"
    b"214NvdU9Xh@4bYLjvzm|pZ+9en4_m9;;y$l5$-z88IRtHn_8j;;cdDH6GQG?br92}_d94Er=S1h`Xu0g0v@*"
    b"jeShGm>Op<*r$^I9~B*Y4@Hc3U21VGWS#v8>;3ow3pb_%b<&s#5uc9n~1TAs;u#~YINXH?PbN=7pa72uZJTn"
    b"E91oo;f}=8OW@OkoX^<WasoN&3KT+M2yJaG2}4VE`UAt^+H(SuHmm=DahU_eQWCl>TGT#^m~LRgRULa)@Pe;"
    b"dSN)z$p1EhR!jCIWvQg#>M9RcaW_?bW4T#WY80g3&ESh#RfbZ<9xH6uOGgDc~u106IZa++TFi1>?B9sws>nU"
    b"OS_RGS&W(8LmXk0;$6fPYbu3Ngt#L&HN=JrOgv_(=(gPLVlGun1CmxH&sDH9sYfk^cvx>_fK=)oNS|3+kC*f"
    b"Qu8JJ|*1xGlZ?<|$80)C(5g+J7M6rZyNpxK|Z|2=`L*2K5(^uE}+xL49_v8GKJ8}-uNS99Zm4Wd4?ZMO2<Yc"
    b"ka?=Q9ogX59^EEx<RA3yQeZY`}Wt-7HHkUj8&K7u{^iTnh|{j{<"
)
#: What fuzzers found, by target: each of these was once taken wrongly, or was no clear error.
FOUND: dict[str, list[bytes]] = {
    "csv": [
        b'step;"a b"\n"\n0;1',
        b'step,note\n0,a\n10,"b\n20,c\n',
        b'step;09\n\n4;1e5sep;"a b\n""038e5\n\n',
        b'(b\n""0\x0c$\n0;"\xc6',
        b"\n0,0,1.5\n0,10,\n",
    ],
    "parquet": [zlib.decompress(base64.b85decode(_CLAIMS_ROWS))],
}


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, a part left out or said twice."""
    made = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place, length = draw.randrange(len(made) + 1), draw.randint(1, 8)
        kind = draw.randrange(3)
        if kind == 0:
            made[place : place + length] = draw.randbytes(length)
        elif kind == 1:
            del made[place : place + length]
        else:
            made[place:place] = made[place : place + length]
    return bytes(made)


@pytest.mark.parametrize("name", TARGETS)
def test_whole_files_and_what_was_found(name: str) -> None:
    for content in (b"", *SEEDS[name], *FOUND.get(name, ())):
        TARGETS[name](content)


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_mutations(name: str) -> None:
    draw = random.Random(0)
    for _ in range(200):
        TARGETS[name](mutated(draw.choice(SEEDS[name]), draw))
