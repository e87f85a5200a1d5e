#!/usr/bin/env bash
# Bare-earth DEMs of all orthophotos in a folder, each of its own ground: `jspsr enhance --fetch` for each.
#
#     examples/enhance_region.sh [-j JOBS] PHOTOS OUTPUTS [OPTION...]
#
#   -j JOBS    how many at a time: 1 unless given, and best on a GPU
#   PHOTOS     folder with the orthophotos (.tif, .tiff, .jp2, .vrt)
#   OUTPUTS    another folder, for the DEMs: of a.tif a.tif, of b.jp2 b.jp2.tif; what was said on the way is in a.tif.log
#   OPTION...  passed on to jspsr enhance, such as --weights jspsr-8m-image, or a DEM of your own for all
#   -h         prints how this is used
#
# The same command again goes on: what is done is left alone, what was interrupted goes on where it was, what failed is
# tried again. A line for each orthophoto goes to stderr as soon as it is finished, and all of them go to stdout at the
# end. Ctrl-C and SIGTERM end all that was started. Several of these scripts may work at the same time.
#
# Exit code: 0 all are done, 1 some are not, 2 wrong usage, 129, 130 or 143 interrupted.
set -euo pipefail

usage="usage: ${0##*/} [-j JOBS] PHOTOS OUTPUTS [OPTION of jspsr enhance...]"

fail() {
    printf '%s\n' "$1" >&2
    exit 2
}

# Make the DEM of the orthophoto $1, and write its line to the file $2. The options are those of the script.
enhance_one() {
    local photo=$1 result=$2 name=${1##*/} output state said code=0
    output=$outputs/${name%.tif}.tif
    trap : HUP INT TERM # jspsr gets them too: its work is put away before this ends
    # Not yet beside the output: others may be at work there.
    jspsr enhance --fetch --guide "$photo" -o "$output" ${options[@]+"${options[@]}"} >"$result.log" 2>&1 </dev/null ||
        code=$?
    said=$(tail -n 1 -- "$result.log")
    said=${said#jspsr: } said=${said#[Ee]rror: }
    case $code,$said in
        0,*' is there already, made by this command of these inputs.') state='already done' said='' ;;
        0,*) state='done' said=${said#*: } ;;
        129,* | 130,* | 143,*) state='interrupted' ;;
        *,*': wait for it, or end it.') state='at work' ;;
        *) state='failed' ;;
    esac
    [[ $state != 'done' || -f $output ]] || state='failed' said="There is no $output."
    case $state in
        'already done' | 'at work') ;; # what was said of the work itself stays
        *) mv -f -- "$result.log" "$output.log" || said+=' (Its .log cannot be written.)' ;;
    esac
    printf '%-12s  %q  %s\n' "$state" "$name" "$said" | tee -- "$result" >&2
}

# End what is running; $1 is the exit code.
interrupt() {
    ended=$1
    for job in $(jobs -rp); do # with set -m each is a group of processes
        kill -s TERM -- "-$job" 2>/dev/null || true
    done
}

at_once=1
while getopts :hj: option; do
    case $option in
        h) printf '%s\n' "$usage" && exit ;;
        j) at_once=$OPTARG ;;
        *) fail "$usage" ;;
    esac
done
shift $((OPTIND - 1))
[[ $# -ge 2 ]] || fail "$usage"
[[ $at_once =~ ^[1-9][0-9]{0,3}$ ]] || fail "-j takes how many work at a time, not $at_once."
photos=$1 outputs=$2 options=("${@:3}")
for option in ${options[@]+"${options[@]}"}; do
    case $option in
        -o* | --output | --output=* | --guide | --guide=* | --json | --dry-run)
            fail "The script itself chooses $option for each orthophoto: leave it away."
            ;;
    esac
done
[[ $photos == /* ]] || photos=./$photos # no option, whatever it begins with
[[ $outputs == /* ]] || outputs=./$outputs
shopt -s nullglob nocaseglob
list=("$photos"/*.tif "$photos"/*.tiff "$photos"/*.jp2 "$photos"/*.vrt)
[[ ${#list[@]} -gt 0 ]] || fail "There is no orthophoto in $photos: give the folder that they are in."
[[ ! $photos -ef $outputs ]] || fail "OUTPUTS is the folder of the orthophotos: give another."
for photo in "${list[@]}"; do
    [[ $photo == *.tif || ! -e $photo.tif ]] || fail "$photo and $photo.tif would have one output: rename one."
done
mkdir -p -- "$outputs" 2>/dev/null || fail "The folder $outputs cannot be made: give another."
if [[ $at_once -gt 1 && -z ${OMP_NUM_THREADS-} ]]; then # each would take all cores
    cores=$(getconf _NPROCESSORS_ONLN)
    export OMP_NUM_THREADS=$((cores > at_once ? cores / at_once : 1))
fi

results=$(mktemp -d)
trap 'rm -rf -- "$results"' EXIT
ended=0
trap 'interrupt 129' HUP
trap 'interrupt 130' INT
trap 'interrupt 143' TERM
set -m
for number in "${!list[@]}"; do
    while [[ $ended == 0 && $(jobs -rp | wc -l) -ge $at_once ]]; do sleep 0.2; done
    [[ $ended == 0 ]] || break
    enhance_one "${list[number]}" "$results/$number" &
done
while [[ -n $(jobs -rp) ]]; do wait || true; done # a signal ends a wait, not the jobs

made=0 already=0 other=0
for number in "${!list[@]}"; do
    line=$(cat -- "$results/$number" 2>/dev/null) || line=$(printf '%-12s  %q' 'not begun' "${list[number]##*/}")
    printf '%s\n' "$line"
    case $line in
        'done '*) made=$((made + 1)) ;;
        'already done '*) already=$((already + 1)) ;;
        *) other=$((other + 1)) ;;
    esac
done
printf '%d done, %d already done, %d not done\n' "$made" "$already" "$other"
[[ $ended == 0 ]] || exit "$ended"
[[ $other == 0 ]]
