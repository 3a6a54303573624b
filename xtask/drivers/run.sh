# Runs a program with one of Mesa's drivers and a GPU that is not there: sh run.sh SYSTEM DRIVER SHIM VARIABLE=GPU PROGRAM
# [ARGUMENTS]. unshare calls it, in namespaces of its own, so that the mounts end with it.
set -e
system=$1
driver=/usr/share/vulkan/icd.d/$2_icd.json
shim=/usr/lib/x86_64-linux-gnu/lib$3_noop_drm_shim.so
gpu=$4
program=$5
shift 5
mount -t proc proc "$system/proc"
mount --rbind /dev "$system/dev"
mount --rbind /sys "$system/sys"
# Another run may still have the last one open.
cp --remove-destination "$program" "$system/root/program"
exec chroot "$system" env "VK_DRIVER_FILES=$driver" "LD_PRELOAD=$shim" "$gpu" MESA_SHADER_CACHE_DISABLE=true \
    XDG_RUNTIME_DIR=/root /root/program "$@"
