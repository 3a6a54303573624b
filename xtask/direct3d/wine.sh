# Runs a Windows program in Wine: sh wine.sh SYSTEM PROGRAM [ARGUMENTS]. unshare calls it, in namespaces of its own, so that
# mounts, the X server and Wine's own server end with it. Its status is not to be trusted: of a first run Wine was seen to lose it.
set -e
system=$1
program=$2
shift 2
mount -t proc proc "$system/proc"
mount --rbind /dev "$system/dev"
mount --rbind /sys "$system/sys"
cp "$program" "$system/root/program.exe"
# Of an X server that was killed.
rm -f "$system/tmp/.X7-lock" "$system/tmp/.X11-unix/X7"
exec chroot "$system" sh -e -c '
    # Without a screen Wine has no Vulkan.
    Xvfb :7 -screen 0 320x200x24 >/root/xvfb.log 2>&1 &
    until [ -e /tmp/.X11-unix/X7 ]; do
        kill -0 $!
        sleep 0.1
    done
    export DISPLAY=:7 HOME=/root XDG_RUNTIME_DIR=/root WINEDEBUG=-all
    # Microsoft'\''s compiler, not the one of Wine.
    export WINEDLLOVERRIDES=d3dcompiler_47=n
    exec /usr/lib/wine/wine64 /root/program.exe "$@"
' sh "$@"
