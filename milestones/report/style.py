"""The look of a report: quiet paper, one accent, light and dark, narrow and print."""

STYLE = """
:root{--paper:#fbfaf7;--ink:#22211e;--muted:#6c685f;--line:#dedad0;--soft:#f2efe8;--note:#f6ecd9;
--note-line:#c99a3b;
--tint:29 99 144;--warm:194 87 26;--c0:#1d6390;--c1:#c2571a;--c2:#3c7a3f;--c3:#7b4fa3;--c4:#8f7120;
--c5:#b3405f;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;
--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
@media screen and (prefers-color-scheme:dark){:root{--paper:#171816;--ink:#e9e6de;--muted:#a09b8f;
--line:#37372f;
--soft:#20211e;--note:#2c2616;--note-line:#b98d36;--tint:96 165 214;--warm:232 138 84;
--c0:#7ab8e6;--c1:#f09a63;--c2:#86c08a;--c3:#bf9be0;--c4:#d8b75a;--c5:#e888a3}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);
font-variant-numeric:tabular-nums}
main{max-width:68rem;margin:0 auto;padding:3.5rem 2rem 4rem}
h1,h2,h3,p,figure,pre,dl,dd{margin:0}
header{padding-bottom:2.5rem}
h1{font-size:3.2rem;line-height:1.05;font-weight:650;letter-spacing:-.025em;overflow-wrap:anywhere}
.eyebrow,h2{font-size:.8rem;line-height:1.55;font-weight:600;letter-spacing:.06em;text-transform:uppercase;
color:var(--muted)}
.eyebrow{margin-bottom:.6rem}
.tagline{font-size:1.35rem;line-height:1.35;margin-top:.7rem;max-width:40rem}
.paper{color:var(--muted);margin-top:.5rem;max-width:44rem}
.hero{display:flex;align-items:center;gap:1rem 2.2rem;margin-top:2.2rem}
.figure{font-size:4.6rem;line-height:1;font-weight:300;letter-spacing:-.04em;color:var(--c0);
white-space:nowrap}
.figure span{font-size:1.6rem;letter-spacing:0;margin-left:.35rem;color:var(--muted)}
.result{max-width:34rem;font-size:1.05rem}
header>.result{margin-top:1.5rem}
header>.pairs{margin-top:2.2rem;display:flex;flex-wrap:wrap;gap:1rem 2.2rem;border:0}
header>.pairs>div{display:block;border:0;padding:0}
header>.pairs dt{font-size:.8rem}
.notice,.note{background:var(--note);border-left:3px solid var(--note-line);padding:.6rem .9rem;
margin:0 0 1rem;max-width:46rem;
overflow-wrap:anywhere}
header .notice{margin:1.2rem 0 0}
section{display:grid;grid-template-columns:9.5rem minmax(0,1fr);gap:1rem 2rem;padding:1.6rem 0 2.4rem;
border-top:1px solid var(--line)}
section>div>*+*{margin-top:1rem}
section p{max-width:44rem;overflow-wrap:anywhere}
h3{font-size:1rem;padding-top:.6rem}
small,.quiet{font-size:.84rem;color:var(--muted);font-weight:400}
table{border-collapse:collapse;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .9rem .4rem 0;overflow-wrap:anywhere}
.grid{width:100%}
.grid th{font-size:.8rem;font-weight:500;color:var(--muted)}
.grid thead th{border-bottom:1px solid var(--line)}
.grid tbody td{border-bottom:1px solid var(--line)}
.grid td small{display:block}
.grid th,.whole{white-space:nowrap}
.grid b{font-weight:600}
.span{display:block;position:relative;height:9px;margin-top:.3rem;min-width:7rem;
border-bottom:1px solid var(--line)}
.span::before{content:"";position:absolute;left:var(--l);right:var(--r);top:3px;height:3px;
background:rgb(var(--tint)/.45)}
.span::after{content:"";position:absolute;left:var(--v);top:0;width:2px;height:9px;background:var(--c0)}
.span i{position:absolute;top:-1px;width:2px;height:11px;background:var(--c1)}
.pairs{display:block;font-size:.92rem}
.pairs>div{display:grid;grid-template-columns:minmax(7rem,11rem) minmax(0,1fr);gap:1rem;padding:.32rem 0;
border-bottom:1px solid var(--line)}
.pairs dt{color:var(--muted);overflow-wrap:anywhere}
.pairs dd{overflow-wrap:anywhere;max-width:44rem}
code,pre{font-family:var(--mono);font-size:.86em}
pre{background:var(--soft);border:1px solid var(--line);border-radius:4px;padding:.8rem 1rem;
white-space:pre-wrap;overflow-wrap:anywhere}
.copy{-webkit-user-select:all;user-select:all}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:2rem 2.2rem;
align-items:start}
.plots>*{margin:0!important;min-width:0}
.full{grid-column:1/-1}
figcaption{font-size:.9rem;line-height:1.4;margin-bottom:.45rem;overflow-wrap:anywhere}
.key{margin-right:.9rem;color:var(--k);white-space:nowrap}
.key::before{content:"";display:inline-block;width:.8rem;height:3px;border-radius:2px;margin-right:.35rem;
vertical-align:.22em;background:var(--k)}
.chart{display:block;width:100%;height:auto}
.plot img{max-width:100%;height:auto}
img{background:#fff;border:1px solid var(--line)}
.sharp{image-rendering:pixelated}
.film{display:block;margin-bottom:.5rem}
.wide{overflow-x:auto}
.confusion{font-size:.86rem}
.confusion caption{text-align:left;color:var(--muted);padding-bottom:.5rem}
.confusion th,.confusion td{padding:.28rem .5rem;text-align:right;min-width:2.5rem;overflow-wrap:normal;
white-space:nowrap}
.confusion th{font-weight:600}
.confusion td{border:2px solid var(--paper)}
.confusion .zero{color:var(--muted);opacity:.45}
.confusion .right{background:rgb(var(--tint)/var(--p))}
.confusion .wrong{background:rgb(var(--warm)/var(--p))}
.confusion .rate{color:var(--muted);font-weight:400;padding-left:1rem}
.mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(7.2rem,1fr));gap:1.3rem 1rem}
.mistakes figcaption{margin:.4rem 0 0;font-size:.84rem}
.mistakes img{display:block;max-width:100%;height:auto}
.lost{width:98px;height:98px;display:grid;place-items:center;border:1px dashed var(--line);
color:var(--muted);font-size:.8rem}
.ranking{width:100%}
.ranking th{font-weight:500;width:1%;white-space:nowrap}
.ranking td:last-child{width:1%;white-space:nowrap;text-align:right;padding-right:0}
.bar::before{content:"";display:block;height:.7rem;margin-top:.35rem;width:var(--w);min-width:1px;
background:rgb(var(--tint)/.55)}
.rate[style]{display:block;background:linear-gradient(rgb(var(--tint)/.22) 0 0) 0/var(--w) 100% no-repeat;
padding:0 .4rem}
summary{cursor:pointer;font-weight:600}
footer{border-top:1px solid var(--line);padding-top:1rem;font-size:.84rem;color:var(--muted)}
@media (max-width:44rem){
main{padding:2rem 1.1rem 3rem}
h1{font-size:2.4rem}
.hero{display:block}
.figure{font-size:3.8rem;margin-bottom:.8rem}
section{display:block;padding:1.2rem 0 2rem}
section>h2{margin-bottom:.8rem}
.plots{grid-template-columns:minmax(0,1fr)}
.whole{white-space:normal}
.grid thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.grid tr{display:block;padding:.6rem 0;border-bottom:1px solid var(--line)}
.grid tbody td{display:grid;grid-template-columns:7rem minmax(0,1fr);column-gap:.6rem;padding:.12rem 0;
border:0}
.grid td::before{content:attr(data-name);color:var(--muted);font-size:.84rem;grid-row:1/4}
.grid td>*{grid-column:2}
.confusion{font-size:.74rem}
.confusion th,.confusion td{padding:.2rem .15rem;min-width:1.65rem;border-width:1px}
}
@media print{
body{background:#fff;font-size:10.5pt}
main{max-width:none;padding:0}
section{grid-template-columns:7rem minmax(0,1fr);padding:.8rem 0 1.2rem}
figure,tr,pre,.hero{break-inside:avoid}
h2{break-after:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.plots{grid-template-columns:1fr 1fr}
.film{display:none}
}
""".strip().replace("\n", "")
